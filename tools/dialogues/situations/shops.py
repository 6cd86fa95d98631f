"""Shops, garages and couriers."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

PRODUCTS = {
    "kettle": "it doesn't switch off",
    "toaster": "it burns everything",
    "jacket": "the zip is broken",
    "lamp": "it keeps flickering",
    "headset": "the left side is silent",
    "backpack": "a strap came off",
    "blender": "it leaks",
    "radio": "it only crackles",
    "pair of boots": "the sole is coming off",
    "suitcase": "one wheel is missing",
    "camera": "the screen stays black",
    "coffee machine": "it drips all over the place",
    "hair dryer": "it smells of smoke",
    "vacuum cleaner": "it has no power",
}
RESERVED_PRODUCTS = {
    "accordion": "two keys are stuck",
    "telescope": "the lens is cracked",
    "hammock": "a seam has split",
}


def purchase(s: Scene) -> None:
    """A customer brings something back: money, exchange, repair or voucher."""
    s.register = "service"
    s.person("P", role=s.pick(("Clerk", "Shop assistant", "Sales assistant")))
    s.person("A")
    products = RESERVED_PRODUCTS if s.split == "test" and s.chance(0.2) else PRODUCTS
    item = s.pick(list(products))
    p1, p2 = s.amounts(25, 190, 1, 2)
    s.put(
        item=item, fault=products[item], price=p1, dear=p2, day=s.pick(values.WEEKDAYS), ready=s.pick(values.WORKDAYS)
    )
    s.put(n=s.pick(("three days", "a week", "two weeks", "ten days", "a month")), phone=s.phone())
    s.put(fault_s=s.facts["fault"], why=s.pick(("the receipt is missing", "it was on sale")))
    s.relative()
    kind = s.pick(("refund", "exchange", "repair", "voucher"))
    s.open("P", "A", "desk")
    s.indirect = s.chance(0.25)
    if s.indirect:
        s.talk("""
            A: [My {rel} bought this {item} here last {day}.|This {item} is from your shop. My {rel} got it last
            {day}.] {R.he} [says {fault}|told me that {fault}], [and I can confirm it|and {R.he}'s quite upset].
        """)
        s.put(buy="{A.his} {rel} bought last {day}")
    else:
        s.talk("""
            A: [I bought this {item} here last {day}|I got this {item} from you last {day}], and [{fault}|now
            {fault}|{fault} already].
        """)
        s.put(buy="{A.he} bought last {day}")
    s.put(but="and" if kind == "refund" else "but")
    s.talk("""
        P: [Oh, I'm sorry to hear that.|That's annoying.] [What did you pay for it?|How much was it?]
        A: [{price}.|It was {price}.|It cost {price}.] [I'd like my money back.|I'd prefer a refund.]
        --
    """)
    if kind == "refund":
        s.talk("""
            P: [Normally we'd repair it.|We usually offer a repair first.] [It would take {n}.|You'd have it back in
            {n}.]
            A: [{n}? No, I can't wait that long.|I need it before that, sorry.]
            P: [Fair enough. Then I'll give you the {price} back.|I understand. You'll get your {price} back.]
        """)
        s.put(end="[gets {price} back|receives a refund of {price}|is refunded {price}]")
        s.put(because="[a repair would take {n}|{A.he} cannot wait {n} for a repair]")
        s.topic("returning a faulty {item}|a refund for a {item}|getting money back|a broken {item}")
    elif kind == "exchange":
        s.talk("""
            P: [Refunds are only possible within {n}, I'm afraid.|I can't do refunds after {n}.] [But you can have
            another {item}.|How about a new one?]
            A: [Not the same one again.|I don't trust that model any more.] [What about the one over there?|Is there a
            better one?]
            P: [That one is {dear}.|This model is {dear}, so you'd only pay the difference.]
            A: [All right, I'll take the one for {dear}.|{dear}? Okay, let's do that.]
        """)
        s.put(
            end="[exchanges it for a model at {dear}|swaps it for a better one at {dear}|takes a better one for {dear}]"
        )
        s.put(because="refunds are [only possible within {n}|not possible after {n}]")
        s.topic("exchanging a {item}|a broken {item}|swapping a faulty {item}")
    elif kind == "repair":
        s.talk("""
            P: [I can't give you a refund, but we'll repair it for free.|There's no refund on these, but the repair is
            free.]
            A: [How long does that take?|And when would I get it back?]
            P: [About {n}.|It takes {n}, usually.] [You can pick it up on a {ready}.|It'll be here on {ready} then.]
            A: [Okay, I'll pick it up then.|Fine, if it's really free.]
        """)
        s.put(
            end="[has it repaired for free, which takes {n}|leaves it for a free repair of {n}|agrees to a free "
            "repair of {n}]"
        )
        s.put(because="[there is no refund|a refund is not possible]")
        s.topic("a repair under warranty|repairing a {item}|a faulty {item}|a free {item} repair")
    else:
        s.talk("""
            P: [Do you have the receipt?|May I see the receipt?]
            A: [I'm afraid I've thrown it away.|No, I can't find it anywhere.]
            P: [Then I can't pay you back in cash.|Without it, cash isn't possible.] [But I can give you a voucher for
            {price}.|A voucher for {price} is all I can do.]
            A: [Better than nothing.|All right, a voucher is fine.|Okay, I always find something here.]
        """)
        s.put(end="[gets a voucher for {price}|accepts a voucher of {price}|receives a {price} voucher]")
        s.put(because="[the receipt is lost|there is no receipt]")
        s.topic("returning without a receipt|a voucher for a {item}|a lost receipt|bringing back a {item}")
    s.talk("--")
    if s.chance(0.25):
        s.talk("""
            P: [I need a phone number for the form.|Could you leave a phone number?]
            A: [It's {phone}.|{phone}.]
        """)
    if s.maybe():
        s.talk("""
            P: [Please sign here.|Just sign at the bottom, please.]
            A: [Here you are.|Done. Do you have a bag for me?]
        """)
    s.close("A", "P")
    s.summarise("""
        - {A} [returns|brings back] {a:item} {buy} because {fault}. [As|Since] {because}, {A} {end}.
        - {A} [complains to {P} about|takes back] {a:item} for {price}: {fault}. [In the end|Finally], {A.he} {end},
          [as|because] {because}.
        - {P} [helps {A} with|deals with] a faulty {item}. {A} [wants a refund|asks for the money back] {but} {end}[,
          as {because}|].
        - [Because|As] {fault}, {A} [goes back to the shop|returns to the shop] with the {item} {buy}. {A.he} {end}.
        - {A} {end} after [complaining about|bringing back] {a:item} {buy}. [The problem is that|{P} hears that]
          {fault}.
        - {A} [is unhappy with|has a problem with] {a:item} {buy}, as {fault}. [{because_c}|It turns out that
          {because}], so {A} {end}.
    """)
    s.put(because_c=s.facts["because"])


CAR_FAULTS = {
    "the brakes squeal": ("new brake pads", "brakes"),
    "the engine makes a knocking noise": ("a new belt", "engine"),
    "the battery keeps going flat": ("a new battery", "battery"),
    "the exhaust is far too loud": ("a new exhaust", "exhaust"),
    "a warning light stays on": ("a new sensor", "warning light"),
    "the steering pulls to the left": ("new tyres", "steering"),
    "it loses oil": ("a new seal", "oil leak"),
    "the heating blows cold air": ("a new thermostat", "heating"),
}


def garage(s: Scene) -> None:
    """A car goes to the garage: what is wrong, price and when it is ready."""
    s.register = "service"
    s.person("P", role=s.pick(("Mechanic", "Mechanic", "")))
    s.staff = {"P"}
    s.person("A")
    fault = s.pick(list(CAR_FAULTS))
    part, short = CAR_FAULTS[fault]
    price = s.rng.randrange(120, 650, 5)
    p1, p2 = f"{s.currency}{price}", f"{s.currency}{price + s.rng.randrange(20, 100, 5)}"
    d1, d2 = s.several(values.WORKDAYS, 2)
    s.put(
        fault=fault,
        part=part,
        short=short,
        p1=p1,
        p2=p2,
        d1=d1,
        d2=d2,
        t=values.times(s.rng, 8, 18, 1, 30)[0],
        phone=s.phone(),
    )
    s.put(car=s.pick(("van", "old estate", "hatchback", "sports car", "pick-up", "camper", "little blue car", "taxi")))
    s.put(
        other=s.pick(("a bus pass", "a rental car", "my bike", "my neighbour's car")),
        need=s.pick(("a trip to the coast", "a family visit", "a delivery job", "the school run")),
    )
    s.relative()
    s.open("P", "A", "phone")
    s.indirect = s.chance(0.35)
    if s.indirect:
        s.talk("""
            A: [It's about my {car}.|I've got trouble with my {car}.] My {rel} [drove it yesterday and said that
            {fault}|told me that {fault}].
        """)
    else:
        s.talk("""
            A: [There's something wrong with my {car}.|I'm worried about my {car}.] [I've noticed that {fault}.|Since
            last week, {fault}.]
        """)
    if s.brief():
        s.talk("""
            P: [Bring it in on {d1}. I guess it needs {part}, about {p1}.|That's probably {part}, for {p1} or so. Can
            you come on {d1}?]
            A: [I need it for {need} on {d1}.|On {d1} I need it for {need}.] [Could I come on {d2}?|Is {d2} all
            right?]
            P: [Yes, at {t}.|{d2} at {t} is fine.]
        """)
        s.put(cost="{p1}")
        _garage_summaries(s)
        return
    s.talk("""
        P: [That sounds like a job for us.|Hmm, I've an idea what that might be.] [Can you bring it in on {d1}?|I
        could look at it on {d1}.]
        A: [On {d1} I need it for {need}.|Not {d1}, I need it for {need}.] [What about {d2}?|Would {d2} be possible?]
        P: [{d2} is fine. Come at {t}.|Yes, {d2} at {t}.|Then come on {d2}, at {t}.]
        --
        A: [What will it cost?|How much will that be, roughly?]
        P: [It probably needs {part}, so about {p1}.|If it's what I think, you need {part}. That's {p1}.]
    """)
    s.put(cost="{p1}")
    if s.chance(0.4):
        s.talk("""
            A: [Does that include everything?|With tax?]
            P: [Ah, no. With labour and tax it's {p2}.|Sorry, with the labour it comes to {p2}.]
            A: [{p2}? That hurts, but okay.|Well, {p2}, if it has to be.]
        """)
        s.put(cost="{p2}")
    else:
        s.talk("A: [That's less than I feared.|All right, I need the car.|Okay, do it.]")
    s.talk("--")
    if s.maybe():
        s.talk("""
            A: [How long do you need for it?|When can I have it back?]
            P: [You'll have it back the same evening.|It'll be done by the evening.]
            A: [Good, I'll use {other} that day.|Then I'll manage with {other}.]
        """)
    if s.chance(0.3):
        s.talk("""
            P: [What's your number, in case we find something else?|Which number can I call if there's more?]
            A: [{phone}.|Call me on {phone}.]
        """)
    s.close("A", "P")
    _garage_summaries(s)


def _garage_summaries(s: Scene) -> None:
    s.summarise("""
        - {A} [tells {P}|explains to {P}] that {fault}. {A.he} will bring [the {car}|{A.his} {car}] in on {d2} at {t},
          [and the repair costs|which will cost] about {cost}.
        - {A.poss} {car} [needs a repair|has to be repaired] because {fault}. [It goes to the garage|{A.he} takes it
          to the garage] on {d2} at {t} for about {cost}.
        - {P} will [repair|look at] {A.poss} {car} on {d2} at {t}. It [probably|] needs {part}, [for about|which
          costs] {cost}.
        - {A} [calls|phones] {P} about {A.his} {car}, as {fault}. [They agree on|They settle on] {d2} at {t} [because
          {A} needs it on {d1}|], and the price is about {cost}.
        - [Because|As] {fault}, {A} [makes an appointment|gets an appointment] with {P} for {d2} at {t}. The {car}
          [may need|probably needs] {part} for {cost}.
        - {A} cannot do without [the {car}|{A.his} {car}] on {d1}, so {P} [takes it|will see it] on {d2} at {t}. [The
          repair|{part}] will cost {cost} in all.
    """)
    s.put(carw=s.facts["car"].split()[-1])
    s.topic("a car repair|trouble with a {carw}|{short} trouble|taking a {carw} in|a {carw} with {short} trouble")


ITEMS = pool(
    "a bookshelf, a pair of shoes, a desk lamp, a birthday present, a box of books, a phone, a winter coat, a "
    "garden chair, a mirror, a set of plates, "
    "a tent, a printer",
    "a grandfather clock, a beehive, a rowing machine",
)


def parcel(s: Scene) -> None:
    """A parcel has not come; it is delivered again or collected."""
    s.register = "service"
    s.person("P", role=s.pick(("Agent", "Courier", "Operator")))
    s.person("A")
    d1, d2, d3 = s.several(values.WEEKDAYS[:6], 3)
    t1, t2 = values.times(s.rng, 8, 19, 2, 30)
    s.put(item=s.pick(ITEMS), d1=d1, d2=d2, d3=d3, t1=t1, t2=t2, ref=values.code(s.rng, s.pick(("PX", "DL", "RK")), 6))
    s.put(
        shop=s.pick(
            ("the petrol station", "the bakery", "the flower shop", "the kiosk", "the post office", "the bookshop")
        )
    )
    s.put(address=s.address(), phone=s.phone())
    s.person("N", title="Mr.", present=False)
    s.relative()
    s.open("P", "A", "phone")
    s.indirect = s.chance(0.4)
    s.put(bare=" ".join(s.facts["item"].split()[:4]))
    if s.brief():
        s.put(slip=s.pick(("the van broke down", "the label was damaged", "the street was closed")), why="{slip}")
        s.talk("""
            A: [Where's my parcel? It's {item}, due on {d1}.|{item} should have come on {d1}, and it's still not
            here.]
            P: [I'm sorry, {slip}.|It says that {slip}.] [We can bring it on {d2}.|It could come on {d2}.]
            A: [I'm not in on {d2}.|On {d2} I'm at work.] [What about {d3}?|{d3} would be better.]
            P: [Then {d3} at {t2}.|{d3} is fine, at {t2}.]
        """)
        s.put(
            end="[it will be delivered on {d3} at {t2}|it will come on {d3} at {t2}|delivery is set for {d3} at {t2}]"
        )
        s.topic("a late parcel|a new delivery date|a parcel that's late|delivering {bare}")
        _parcel_summaries(s)
        return
    s.talk("""
        A: [I've been waiting for {item} since {d1}.|I ordered {item}, and it should have come on {d1}.|My parcel
        hasn't come. It's {item}, due on {d1}.]
        P: [Could you give me the tracking number?|Do you have a parcel number?]
        A: [Yes, {ref}.|It's {ref}.|Let me see... {ref}.]
    """)
    if s.indirect:
        s.talk("""
            P: [The driver says nobody was at home on {d1}.|According to the driver, nobody opened the door on {d1}.]
            A: [That can't be. {N} next door told me nobody rang.|But my {rel} was in all day and says nobody rang.]
            --
        """)
        s.put(why="[the driver says nobody was at home|according to the driver nobody opened]")
    else:
        s.put(
            slip=s.pick(
                (
                    "the van broke down",
                    "the label was damaged",
                    "it was loaded onto the wrong van",
                    "the street was closed",
                )
            )
        )
        s.talk("""
            P: [I see the problem: {slip}.|It says here that {slip}.] [I'm sorry about that.|My apologies.]
            A: [Well, that's bad luck.|I see. And now?]
            --
        """)
        s.put(why="{slip}")
    s.talk("""
        P: [We can bring it on {d2} at about {t1}.|The next delivery would be {d2}, around {t1}.]
        A: [On {d2} nobody's in.|I'm at work on {d2}.] [Could you come on {d3} instead?|What about {d3}?]
    """)
    if s.chance(0.5):
        s.talk("""
            P: [{d3} is fine, but only at {t2}.|On {d3} it would be at {t2}.]
            A: [{t2} on {d3} is good.|That's all right, I'll be there.|Fine, I'll wait for it.]
        """)
        s.put(
            end="[it will be delivered on {d3} at {t2}|it will come on {d3} at {t2}|delivery is set for {d3} at {t2}]"
        )
        s.topic("a late parcel|a new delivery date|a parcel that's late|delivering {bare}")
    else:
        s.talk("""
            P: [We have no van on {d3}, I'm sorry.|I'm afraid {d3} is full.] [Shall we leave it at {shop}?|It could
            wait for you at {shop}.]
            A: [Yes, do that. I'll collect it on {d3}.|That's a good idea, I'll go there on {d3}.]
        """)
        s.put(
            end="[{A} will collect it from {shop} on {d3}|it will be left at {shop}, where {A} fetches it on "
            "{d3}|{A} picks it up at {shop} on {d3}]"
        )
        s.topic("a missing parcel|collecting a parcel|{bare} left nearby|an undelivered parcel")
    s.talk("--")
    if s.chance(0.35):
        s.talk("""
            P: [Is {address} still right?|And the address is {address}?]
            A: [Yes, {address}. The bell is on the left.|That's correct.]
        """)
    if s.chance(0.15):
        s.talk("P: [Can we text you?|Is there a number for updates?]\nA: [Yes, {phone}.|You can text {phone}.]")
    if s.maybe():
        s.talk("""
            A: [Please be careful with it.|I hope it's still in one piece.]
            P: [Don't worry, it's marked as fragile.|Our drivers are careful.]
        """)
    s.close("A", "P")
    _parcel_summaries(s)


def _parcel_summaries(s: Scene) -> None:
    s.summarise("""
        - {A} [is still waiting for|has not received] {item}, which was due on {d1}, [because|as] {why}. {end_c}.
        - {A} [calls|contacts] {P} about a parcel with {item}. [As {d2} does not suit {A}|Since nobody is in on {d2}],
          {end}.
        - {P} [explains|tells {A}] that the parcel due on {d1} did not come because {why}. [They agree that|In the
          end] {end}.
        - A parcel for {A} [did not arrive|was not delivered] on {d1}. {P} [suggests|offers] {d2}, but [finally|in the
          end] {end}.
        - [Because|As] {why}, {A} did not get {item} on {d1}. [{d2} is not possible|{A} is not in on {d2}], so {end}.
        - {A} and {P} [talk about|discuss] {item} that should have come on {d1}. {end_c}, [because|as] {A} is out on
          {d2}.
    """)
    s.put(end_c=s.facts["end"])
