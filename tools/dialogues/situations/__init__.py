"""The everyday situations: each writes one dialogue into a scene."""

from __future__ import annotations

from collections.abc import Callable

from ..scene import Scene
from . import advice, bookings, home, leisure, neighbours, services, shops, travel, work

SITUATIONS: dict[str, Callable[[Scene], None]] = {
    "restaurant-booking": bookings.restaurant,
    "appointment": bookings.appointment,
    "train-travel": travel.train,
    "holiday-planning": travel.holiday,
    "returning-a-purchase": shops.purchase,
    "lost-luggage": services.luggage,
    "bank-card": services.bank,
    "car-repair": shops.garage,
    "parcel-delivery": shops.parcel,
    "flat-viewing": home.viewing,
    "sharing-chores": home.chores,
    "noise-dispute": neighbours.noise,
    "moving-house": home.moving,
    "vet": neighbours.vet,
    "job-interview": work.interview,
    "birthday": leisure.birthday,
    "parent-teacher": advice.school,
    "project-meeting": work.meeting,
    "club-training": leisure.training,
    "tech-support": advice.support,
}
