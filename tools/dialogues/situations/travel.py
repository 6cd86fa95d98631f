"""Trains and holidays."""

from __future__ import annotations

from .. import values
from ..scene import Scene

# what the traveller says of the first train, and how a summary puts it
WRONG_TRAINS = {
    "it gets in too late": "gets in too late",
    "it's too early for me": "is too early",
    "I still have to work then": "does not suit {A}",
    "I'd be there too late": "gets in too late",
}


TOO_LATE = ("it gets in too late", "I'd be there too late")


def train(s: Scene) -> None:
    """A traveller buys tickets or asks about a connection."""
    s.register = "service"
    s.person("P", role=s.pick(("Clerk", "Ticket agent")))
    s.person("A")
    origin, city, via = s.several(values.RAIL_CITIES, 3)
    t1, t2 = values.times(s.rng, 6, 12, 1, 5) + values.times(s.rng, 13, 20, 1, 5)
    fare = s.rng.randint(40, 130)
    p1, p2, p3 = (f"{s.currency}{n}" for n in (fare * s.rng.randint(5, 8) // 10, fare, fare + s.rng.randint(8, 40)))
    s.put(city=city, via=via, origin=origin, t1=t1, t2=t2, p1=p1, p2=p2, p3=p3)
    s.put(day=s.pick(values.WEEKDAYS), n=s.pick(("one", "two", "three", "four")), platform=s.rng.randint(2, 18))
    s.put(t="ticket" if s.facts["n"] == "one" else "tickets", email=s.email("A"))
    s.put(card=s.pick(("student card", "family railcard", "senior card", "discount card")))
    s.put(
        aim=s.pick(("a wedding", "a conference", "a concert", "a job interview", "a family party", "a football match"))
    )
    s.put(wrong=s.pick(list(WRONG_TRAINS)))
    if s.facts["wrong"] in TOO_LATE:
        s.put(t1=t2, t2=t1)
    s.put(wrongly=WRONG_TRAINS[s.facts["wrong"]])
    s.open("P", "A", "desk")
    s.talk("""
        A: [I need to get to {city} on {day}.|I'm looking for a train to {city} on {day}.] [It's for {aim}.|I'm going
        to {aim} there.]
        P: [There's a direct one at {t1} for {p3}.|The fast train leaves at {t1} and costs {p3}.]
        A: [Hmm, {wrong}, and {p3} is a lot.|I can't take that one, {wrong}.] [Is there another one?|What else is
        there?]
        P: [There's one at {t2} for {p2}, but you change in {via}.|You could take the {t2} and change in {via}. That's
        {p2}.]
        --
    """)
    discount = s.chance(0.5)
    if discount:
        s.talk("""
            A: [I've got a {card}, by the way.|Does it help that I have a {card}?]
            P: [Oh yes, then it's only {p1}.|In that case you pay {p1} instead of {p2}.]
            A: [That sounds good. {n} {t} for the {t2}, please.|Then I'll take {n} {t} for {t2}.]
            --
        """)
        s.put(price="{p1}[ with a {card}|]")
    else:
        s.talk("A: [That's fine. {n} {t}, please.|{p2} is all right. I'll take {n} {t} for the {t2} train.]\n--")
        s.put(price="{p2}")
    s.put(plat="")
    if s.maybe():
        s.talk("""
            A: [Which platform is it?|And where does it leave from?]
            P: [Platform {platform}.|It's platform {platform}, up the stairs.]
        """)
        s.put(plat="[ from platform {platform}|]")
    if s.chance(0.3):
        s.talk("""
            P: [Where shall I send the {t}?|Would you like the {t} by e-mail?]
            A: [To {email}, please.|Yes, it's {email}.]
            P: [{email}, got it.|Thank you, I've just sent everything.]
        """)
    if s.maybe():
        s.talk("""
            A: [How long do I have in {via}?|Is there enough time to change in {via}?]
            P: [Plenty of time for a coffee.|It's the same platform, so don't worry.]
            --
            A: [Good. Can I pay by card?|Is contactless all right?]
            P: [Of course. Just hold it here.|Yes, any time now.]
        """)
    s.close("A", "P")
    s.summarise("""
        - {A} [buys|gets] {n} {t} to {city} [for|on] {day} at {t2}{plat}[, changing in {via},|] for {price}.
        - {A} [has to be in {city}|travels to {city}] on {day} for {aim}. The {t1} train {wrongly}, so {A.he}
          [takes|chooses] the one at {t2} [via|through] {via} for {price}.
        - {P} [sells|gives] {A} {n} {t} for the {t2} train to {city} on {day}{plat}. [The price is|It costs] {price}.
        - [Instead of the direct train at {t1}|As the {t1} train {wrongly}], {A} takes the {t2} to {city} and changes
          in {via}. {A.he} [pays|has to pay] {price}.
        - {A} asks {P} about trains to {city} on {day}. [They find one|{A.he} decides on one] at {t2}[ with a change
          in {via}|] for {price}.
        - {A} is going to {aim} in {city} on {day} and [buys|pays for] {n} {t} for the {t2} train [via {via}|with a
          change in {via}]: {price}.
    """)
    s.put(c=city.lower(), ca=s.facts["aim"].split(" ", 1)[1])
    s.topic("buying train tickets|a train to {c}|a trip to {c}|travelling to a {ca}|train times and prices")


STAYS = {
    "a cottage": "by the lake",
    "a small hotel": "in the old town",
    "a campsite": "by the river",
    "an apartment": "near the beach",
    "a farmhouse": "in the hills",
    "a youth hostel": "near the station",
    "a cabin": "in the forest",
}


def holiday(s: Scene) -> None:
    """Friends or a family plan a holiday: where, when, where to stay and for how much."""
    keys = s.friends(s.rng.choice((2, 2, 3, 3, 4, 5)))
    c1, c2 = s.several(values.CITIES, 2)
    m1, m2 = s.several(values.MONTHS, 2)
    stay1, stay2 = s.several(list(STAYS), 2)
    price = s.rng.randrange(320, 990, 10)
    p1, p2 = f"{s.currency}{price - s.rng.randrange(30, 200, 10)}", f"{s.currency}{price}"
    s.put(c1=c1, c2=c2, m1=m1, m2=m2, stay1=stay1, stay2=stay2, where=STAYS[stay2], p1=p1, p2=p2)
    s.put(n=s.pick(("five days", "a week", "ten days", "two weeks", "a long weekend")), all=s.all_names(keys))
    s.put(way=s.pick(("by train", "by car", "by plane", "by coach")), c1l=c1.lower(), c2l=c2.lower(), m2l=m2.lower())
    s.put(flaw=s.pick(("far too hot", "too crowded", "far too expensive", "always rainy then", "too far away")))
    s.relative()
    s.person("M", present=False)
    a, b = "A", "B"
    c = keys[2] if len(keys) > 2 else "A"
    s.open(a, b, "group" if len(keys) > 2 else "friend")
    s.talk("""
        A: [We should talk about the holiday.|Have you thought about our holiday?|It's time to plan our trip.] [I was
        thinking of {c1} in {m1}.|What do you say to {c1} in {m1}?|How about {n} in {c1}, in {m1}?]
        B: [{c1}? It's {flaw}, if you ask me.|Hmm, {c1} is {flaw}.] [I'd rather go to {c2}.|What about {c2}
        instead?|Why don't we try {c2}?]
    """)
    s.indirect = s.chance(0.45)
    if s.indirect:
        s.talk(
            """
            X: [{M} was in {c2} last year and said it was wonderful.|My {rel} told me that {c2} was the best holiday
            ever.] [But {m1} is impossible for me. Could it be {m2}?|I can't get time off in {m1}, though, only in
            {m2}.]
        """,
            X=c,
        )
    else:
        s.talk(
            """
            X: [{c2} sounds lovely.|Good idea, I've never been to {c2}.] [I don't get any time off in {m1}, though.
            What about {m2}?| But let's go in {m2}, I'm busy all {m1}.]
        """,
            X=c,
        )
    s.talk("""
        B: [{m2} is fine with me.|{m2} suits me even better.] [How long can we stay?|For how long?]
        --
    """)
    d = keys[3] if len(keys) > 3 else "A"
    s.talk(
        """
        Y: [I can manage {n}.|Let's say {n}.|I'd say {n}.] [I've seen {stay1} for {p2} each.|I found {stay1} that
        costs {p2} each.]
        B: [{p2}? That's more than I can spend.|That's too much for me, honestly.] [There's {stay2} {where} for
        {p1} each.|Look, here's {stay2} {where}, only {p1} each.]
        --
    """,
        Y=d,
    )
    if len(keys) > 4:
        s.talk("E: [I'm for the cheaper one too.|{p1} is fine by me.|Yes, I like that one much more.]")
    if s.maybe():
        s.talk(
            """
            X: [And how do we get there?|What about the journey?]
            B: [{way}, I'd say.|I'd go {way}, it's the easiest.]
            --
        """,
            X=c,
        )
        s.put(how="[ {way}|]")
    else:
        s.put(how="")
    s.talk("""
        A: [All right, you've convinced me.|Okay, that's a deal.|Fine, I give in.] [I'll book it tonight.|I'll do the
        booking.]
    """)
    s.close("B", "A", "group")
    s.summarise("""
        - {all} [plan|are planning] a holiday. [They choose|They decide on] {c2} in {m2} for {n}{how} and [will
          stay|want to stay] in {stay2} for {p1} each.
        - {A} [suggests|proposes] {c1} in {m1}, but [they decide on|the choice falls on] {c2} in {m2}. {A} will book
          {stay2} for {p1} each.
        - {all} [will go|are going] to {c2}{how} in {m2} for {n}, [staying in {stay2} {where}|in {stay2} {where}] for
          {p1} each[, as {stay1} is too expensive|].
        - [Since|Because] {B} finds {c1} {flaw}, {all} [agree on|opt for] {n} in {c2} in {m2}. [They take|They choose]
          {stay2} at {p1} each.
        - A holiday in {c2} in {m2} is [planned|agreed] by {all}. {A} [books|will book] {stay2} {where}, which costs
          {p1} each.
        - {B} [talks {A} into|convinces {A} of] {c2} instead of {c1}. They [are going|will go] in {m2} for {n} and
          [pay {p1} each for {stay2}|book {stay2} for {p1} each].
    """)
    s.put(flaw=s.facts["flaw"].removesuffix(" then"))
    s.topic("planning a holiday|a holiday in {c2l}|where to go in {m2l}|{c1l} or {c2l}")
