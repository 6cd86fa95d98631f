"""Flats, chores and moving house."""

from __future__ import annotations

from .. import values
from ..grammar import listing
from ..people import pool
from ..scene import Scene


def viewing(s: Scene) -> None:
    """Somebody views a flat: rent, deposit, date of moving in."""
    s.register = "formal"
    s.person("P", role=s.pick(("Landlord", "Landlady", "Agent")))
    s.person("A")
    couple = s.chance(0.5)
    if couple:
        s.person("B")
    rent = s.rng.randrange(560, 1450, 10)
    r1, r2 = f"{s.currency}{rent - s.rng.randrange(20, 130, 10):,}", f"{s.currency}{rent:,}"
    m1, m2 = s.months_apart()
    s.put(rent=r2, low=r1, dep=s.money(600, 2400, 50), m1=m1, m2=m2, street=s.pick(values.STREETS), address=s.address())
    s.put(rooms=s.pick(("two", "three", "four")), floor=s.pick(("first", "second", "third", "top")), email=s.email("A"))
    s.put(plus=s.pick(("a balcony", "a small garden", "a bathtub", "a cellar", "a dishwasher", "a new kitchen")))
    s.put(
        flaw=s.pick(
            (
                "the bathroom has damp walls",
                "there is no lift",
                "the windows are old",
                "the heating is old",
                "the street is loud",
            )
        )
    )
    s.put(
        work=s.pick(("paint the walls", "clean the carpets", "mend the shutters")),
        who="{A} and {B}" if couple else "{A}",
    )
    s.put(
        v="" if couple else "s",
        them="them" if couple else "{A.him}",
        they="they" if couple else "{A.he}",
        we="we" if couple else "I",
        our="our" if couple else "my",
    )
    s.open("P", "A", "welcome")
    other = "B" if couple else "A"
    s.talk(
        """
        P: [So, this is the place.|Here we are.] [It has {rooms} rooms and {plus}.|There are {rooms} rooms, and {plus}
        too.]
        O: [It's lovely and bright.|What a nice view!|I like it a lot.] [And how much is the rent?|What's the rent?]
        P: [It's {rent} a month, plus a deposit of {dep}.|{rent} a month, and the deposit is {dep}.]
        --
        A: [That's more than {we} thought, to be honest.|{rent} is above {our} limit, I'm afraid.] [And I see that
        {flaw}.|And {flaw}, as far as I can see.]
    """,
        O=other,
    )
    lower = s.chance(0.65)
    if lower:
        s.talk("""
            P: [You're right, {flaw}.|That's true.] [I could go down to {low}.|Let's say {low} instead.]
            A: [{low} sounds fair.|{low} would be possible.|With {low} I can live.]
        """)
    else:
        s.put(low=r2)
        s.talk("""
            P: [The price is fixed, but we'd {work} for you.|I can't change the rent. I could {work} before you come,
            though.]
            A: [All right, that would help.|Okay, that's an offer.]
        """)
    s.talk("--")
    s.indirect = s.chance(0.35)
    if s.indirect:
        s.person("F", present=False)
        s.talk("""
            A: [{F} downstairs told me that it's a very quiet house.|I met {F} from downstairs. {F.he} says the house
            is very quiet.]
            P: [That's true, you hardly hear anyone.|Yes, nice people all around.]
        """)
    s.talk(
        """
        O: [When could {we} move in?|And from when is it free?]
        P: [From {m1} on.|It's free from {m1}.]
        A: [{m1} is too early. Would {m2} be possible?|Would {m2} be all right, too? {m1} is too early.]
        P: [{m2} is fine with me.|Yes, {m2} works.] [So you'll take it?|Do we have a deal?]
        A: [Yes, {we}'ll take it.|We have a deal.|Yes, gladly.]
        --
    """,
        O=other,
    )
    if s.chance(0.4):
        s.talk("""
            P: [I'll send you the contract. Where to?|I need an address for the contract.]
            A: [My e-mail is {email}.|Please send it to {address}.|It's {email}.]
        """)
    s.close("A", "P")
    s.put(
        deal="[is lowered to {low}|goes down from {rent} to {low}|is reduced to {low}]"
        if lower
        else "[is {low}|stays at {low}]"
    )
    s.summarise("""
        - {who} [view{v}|look{v} at] a flat with {rooms} rooms and {plus}. The rent {deal}, and {they} will move there
          in {m2}.
        - {P} shows {who} a {rooms}-room flat. [They agree on|The two sides agree on] {low} a month, and {who} will
          [move in during|take it from] {m2}.
        - {who} [take{v}|rent{v}] a flat with {plus} for {low} a month [from {m2}|starting in {m2}], [although|even
          though] {flaw}.
        - [Although|Even though] {flaw}, {who} decide{v} to [take|rent] the flat for {low} a month plus a deposit of
          {dep}. {m1} is too early, so it will be {m2}.
        - {who} find{v} the rent of {rent} [too high|rather high]. It {deal}, and {P} [lets {them} come|agrees that
          {they} can come] in {m2} instead of {m1}.
        - The rent of the {rooms}-room flat {deal}, with a deposit of {dep}. {who} [accept{v}|agree{v}] and will move
          there in {m2}.
    """)
    s.topic("viewing a flat|renting a flat|talking about the rent|a flat with {plus}|a new home")
    s.put(bare=s.facts["plus"].removeprefix("a ").removeprefix("small ").removeprefix("new "))


CHORES = pool(
    "vacuum the hall, clean the bathroom, wash the dishes, take out the rubbish, do the laundry, mop the kitchen "
    "floor, water the plants, clean the "
    "windows, do the shopping, clean the fridge, sweep the stairs, dust the shelves, iron the shirts, cook dinner",
    "polish the silver, weed the garden, scrub the oven",
)


# what a speaker says, and how a summary puts it
GUESTS = {
    "my parents are coming": "{A.poss} parents are coming",
    "the landlord is coming": "the landlord is coming",
    "we're having guests": "guests are coming",
    "the inspection is coming up": "there is an inspection",
}


EXCUSES = {
    "my shoulder hurts": "{B.his} shoulder hurts",
    "I did it last time": "{B.he} did it last time",
    "I'm allergic to dust": "{B.he} is allergic to dust",
    "I always do that one": "{B.he} always does it",
    "I hate doing that": "{B.he} hates doing it",
}


def chores(s: Scene) -> None:
    """People who live together share out the housework."""
    keys = s.friends(s.rng.choice((2, 2, 3, 3, 3, 4, 5)))
    jobs = s.several(CHORES, len(keys) + 1)
    d1, d2 = s.several(values.WEEKDAYS, 2)
    s.put(
        spare=jobs[-1],
        d1=d1,
        d2=d2,
        t=values.times(s.rng, 9, 19, 1, 30)[0],
        all=s.all_names(keys),
        a=jobs[0],
        b=jobs[1],
    )
    s.put(guest=s.pick(list(GUESTS)))
    s.put(guests=GUESTS[s.facts["guest"]])
    s.put(excuse=s.pick(list(EXCUSES)))
    s.put(excused=EXCUSES[s.facts["excuse"]])
    s.put(treat=s.pick(("pizza", "ice cream", "curry", "pancakes", "burgers")))
    s.open("A", "B", "group" if len(keys) > 2 else "friend")
    s.put(extra="")
    if len(keys) == 2 and s.brief():
        s.put(
            does_a="{a} and {spare}",
            plan="{A} will {does_a} and {B} will {b}",
            turned="{B} will {b} and {A} will {does_a}",
        )
        s.talk("""
            A: [{guest} on {d2}, so we must clean up.|We have to clean up before {d2}, because {guest}.] [Could you
            {spare}?|Will you {spare}?]
            B: [No, {excuse}.|Not that, {excuse}.] [I'll {b} instead, on {d1}.|Let me {b}, but on {d1}.]
            A: [Then I'll {a} and {spare}.|Okay, I'll {spare}, and I'll {a} too.] [On {d1} at {t}?|Let's start at
            {t}.]
            B: [Agreed.|{d1} at {t} is fine.|Good, that's fair.]
        """)
        _chores_summaries(s)
        return
    s.talk("""
        A: [This place is a mess.|We really have to clean up.|Have you seen the state of this flat?] [And {guest} on
        {d2}.|{guest} on {d2}, remember?]
        B: [Already? I thought that was next week.|Oh no, I'd forgotten about that.] [Can't we do it on {d1}?|Let's
        clean up on {d1}, then.]
    """)
    s.talk(
        """
        A: [{d1} is fine. At {t}?|Okay, {d1} at {t}.|Good, {d1}, and we start at {t}.] [Could you {spare}?|Could you
        {spare}{,B}?]
        B: [No way, {excuse}.|Not that, please, {excuse}.] [I'd rather {b}.|Let me {b} instead.|I can {b}.]
        --
    """
    )
    if len(keys) == 2:
        s.talk("A: [Fine, then I'll {a} and {spare}.|All right, I'll {a}, and I'll {spare} as well.]")
        s.put(does_a="{a} and {spare}")
    else:
        s.talk("A: [Fair enough. I'll {a}.|Okay, then I'll {a}.]")
        s.put(does_a="{a}")
    plan = []
    for i, k in enumerate(keys[2:], 2):
        extra = i == 2
        s.put(**{f"j{i}": jobs[i], f"does_{k}": jobs[i] + (" and {spare}" if extra else "")})
        if extra:
            s.talk(f"""
                {k}: [I can {{j{i}}}, and I don't mind doing the other thing: I'll {{spare}}.|Leave it to me, I'll
                {{spare}}. And I'll {{j{i}}}.]
            """)
        else:
            s.talk(f"{k}: [And I'll {{j{i}}}.|Then I'll {{j{i}}}, as always.|I'll {{j{i}}}, if that's all right.]")
        plan.append(f"{{{k}}} will {{does_{k}}}")
    s.talk("--")
    s.indirect = s.chance(0.3)
    if s.indirect:
        s.person("M", present=False)
        s.talk("""
            B: [{M} said {M.he} could lend us a steam cleaner.|By the way, {M} told me we can have {M.his} big vacuum
            cleaner.]
            A: [Great, that will save time.|Oh, that's kind of {M.him}.]
            --
        """)
    if s.maybe():
        s.talk("""
            B: [And what do we get when it's done?|Is there a reward?]
            A: [I'll make {treat} for everyone.|When we're done, I'll pay for {treat}.]
        """)
        s.put(extra="[. Afterwards there will be {treat}|. {A} promises {treat}|]")
    else:
        s.put(extra="")
    if s.size == "short" or s.maybe():
        s.talk("B: [So it's {d1} at {t}.|{d1}, {t}. I'll write it on the board.|Okay, {t} on {d1}. Agreed.]")
    s.close("A", "B", "group")
    s.put(
        plan=listing(["{A} will {does_a}", "{B} will {b}", *plan]),
        turned=listing(["{B} will {b}", "{A} will {does_a}", *plan]),
    )
    _chores_summaries(s)


def _chores_summaries(s: Scene) -> None:
    s.summarise("""
        - {all} [share|divide] the [housework|cleaning] for {d1} at {t}[, because {guests} on {d2}|]: {plan}.
        - [Because|As] {guests} on {d2}, {all} [will clean|want to clean] the flat on {d1} at {t}. {plan}{extra}.
        - {B} [does not want to|refuses to] {spare} because {excused}. On {d1} at {t}, {turned}.
        - The flat [has to be|must be] clean before {d2}. {all} [will start|start] on {d1} at {t}: {turned}.
        - {all} [agree to clean|arrange to clean] the flat on {d1} at {t}. {turned}{extra}.
        - {A} [wants|asks] to clean up before {d2}. [They agree on|They choose] {d1} at {t}, when {plan}.
    """)
    s.topic("sharing the housework|cleaning the flat|who cleans what|dividing the chores|getting ready for guests")


THINGS = pool(
    "the piano, the sofa, the wardrobe, the fridge, the big table, the washing machine, the bookcase, the double "
    "bed, the desk",
    "the aquarium, the pool table, the grandfather clock",
)


def moving(s: Scene) -> None:
    """Friends help somebody move."""
    keys = s.friends(s.rng.choice((2, 3, 3, 3, 4, 5)))
    d1, d2 = s.several(values.WEEKDAYS, 2)
    t1, t2 = values.times(s.rng, 7, 8, 1) + values.times(s.rng, 9, 11, 1)
    p1, p2 = s.amounts(45, 160, 5, 2)
    s.put(d1=d1, d2=d2, t1=t1, t2=t2, thing=s.pick(THINGS), p1=p1, p2=p2, address=s.address(), n=s.rng.randint(22, 70))
    s.put(
        floor=s.pick(("third", "fourth", "fifth", "sixth")),
        food=s.pick(("sandwiches", "pizza", "soup", "pasta salad", "chilli")),
    )
    s.put(clash=s.pick(("a shift", "a christening", "a tournament", "an exam", "a doctor's appointment")))
    s.put(
        bring=s.pick(("a trolley", "straps and blankets", "a toolbox", "more boxes", "work gloves")),
        helpers=s.all_names(keys[1:]),
    )
    s.relative()
    s.person("M", present=False)
    c = keys[2] if len(keys) > 2 else "B"
    s.open("A", "B", "group" if len(keys) > 2 else "friend")
    s.talk("""
        A: [I've finally got the keys to the new place!|So, the new flat's really mine now.] [Could you help me move
        on {d1}?|I need strong arms on {d1}.]
        B: [On {d1} I've got {clash}.|Oh, {d1} is bad, I have {clash}.] [Could we do it on {d2}?|But I'm free on
        {d2}.]
        A: [{d2} works for me too.|All right, {d2} then.|Let's say {d2}.] [At {t1}?|We could start at {t1}.]
    """)
    s.talk(
        f"{c}: [{{t1}}? Have a heart. Make it {{t2}}.|I'd prefer {{t2}}.|I can't be there before {{t2}}, sorry.]"
        if t1 != t2
        else ""
    )
    s.talk("""
        A: [Okay, {t2}.|{t2} is fine.] [There are {n} boxes and {thing}, and I'm on the {floor} floor.|I've packed {n}
        boxes, and there's {thing}, up to the {floor} floor.]
        --
    """)
    s.talk("B: [With {thing}, we'll need a van.|We can't do that without a van.]")
    s.indirect = s.chance(0.5)
    if s.indirect:
        s.talk("""
            A: [The rental firm wants {p2}, but {M} said I could have {M.his} for {p1}.|Renting costs {p2}. {M} told
            me {M.he}'d lend me {M.his} van for {p1}, though.]
            B: [Then take that one.|That's a good price.]
            --
        """)
        s.put(van="[borrow {M}'s van|use {M}'s van] for {p1}")
    else:
        s.talk("""
            A: [The big one is {p2} a day.|I saw one for {p2}.]
            B: [That's a lot. I know a place that charges {p1}.|At the station they only charge {p1}.]
            A: [Really? I'll rent that one, then.|Good tip, I'll take the one for {p1}.]
            --
        """)
        s.put(van="rent a van for {p1}")
    if len(keys) > 3:
        s.talk("D: [I'll bring {bring}.|I can bring {bring}, if that helps.]")
        s.put(bringer="[. {D} will bring {bring}|. {D} brings {bring}|]")
    elif s.maybe():
        s.talk("B: [I'll bring {bring}.|I've got {bring} at home, so I can bring that.]")
        s.put(bringer="[. {B} will bring {bring}|. {B} brings {bring}|]")
    else:
        s.put(bringer="")
    if len(keys) > 4:
        s.talk("""
            E: [I can't carry much with my back, but I'll make {food}.|And I'll see to the food. I'll make {food}.]
        """)
        s.put(foods="[. {E} will make {food}|]")
    elif s.maybe():
        s.talk("""
            A: [I'll make {food} for everyone, I promise.|And there'll be {food} for all of you.]
            B: [Now you're talking.|Then I'm certainly coming.]
        """)
        s.put(foods="[. {A} will make {food}|]")
    else:
        s.put(foods="")
    s.talk("--")
    if s.chance(0.45):
        s.talk("""
            B: [What's the new address again?|Where is it, exactly?]
            A: [{address}.|It's {address}, the blue door.]
        """)
    s.close("A", "B", "friend")
    s.summarise("""
        - {helpers} will help {A} move on {d2} at {t2}. {A} will {van}{bringer}{foods}.
        - {A} [is moving|moves] to a new flat on the {floor} floor. {helpers} will [help|come] on {d2} at {t2}, and
          {A} will {van}.
        - {A} asks {helpers} for help with [the move|moving]. {B} has {clash} on {d1}, so they [agree on|choose] {d2}
          at {t2}{bringer}.
        - [Because|As] {B} has {clash} on {d1}, {A.poss} move [will be|takes place] on {d2} at {t2}. {A} will {van} to
          [carry|transport] {thing}.
        - {A.poss} move is [set|planned] for {d2} at {t2} [instead of {d1}|]. {A} will {van}, and {helpers} [will
          help|will carry {thing}]{foods}.
        - On {d2} at {t2}, {helpers} [will help|are going to help] {A} [carry {thing}|with the move]. [To save
          money|For the transport], {A} will {van}{bringer}.
    """)
    s.topic("moving house|help with moving|moving to a flat|a van for moving|carrying a {bare} upstairs")
    s.put(bare=s.facts["thing"].removeprefix("the "))
