"""Parties and clubs."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

GIFTS = pool(
    "a watch, a cookbook, a bicycle helmet, concert tickets, a camera bag, a teapot, a board game, a plant, a "
    "scarf, a voucher for a spa, headphones, a cake stand",
    "a ukulele, a kite, a globe",
)


PLACES = pool(
    "the bowling alley, the park café, the lake house, the Italian restaurant, the tennis club, the community "
    "hall, the climbing centre, the boathouse",
    "the planetarium, the ice rink",
)


def birthday(s: Scene) -> None:
    """Friends plan a surprise party and a present."""
    keys = s.friends(s.rng.choice((2, 3, 3, 4, 4, 5)))
    s.person("M", present=False)
    g1, g2 = s.several(GIFTS, 2)
    place1, place2 = s.several(PLACES, 2)
    d1, d2 = s.several(values.WEEKDAYS, 2)
    s.put(
        g1=g1,
        g2=g2,
        x1=place1,
        x2=place2,
        d1=d1,
        d2=d2,
        t=values.times(s.rng, 14, 20, 1, 30)[0],
        p=s.money(8, 35),
        age=s.pick(("30", "40", "50", "25", "18", "60")),
    )
    s.put(
        food=s.pick(("the cake", "the drinks", "the music", "the decorations", "the salads")),
        food2=s.pick(("the photos", "the invitations", "the balloons", "the candles")),
    )
    s.put(
        all=s.all_names(keys),
        clash=s.pick(("is closed for repairs", "is fully booked", "is far too expensive", "doesn't allow music")),
        phone=s.phone(),
        address=s.address(),
    )
    c, d = keys[-1] if len(keys) < 3 else keys[2], keys[3] if len(keys) > 3 else keys[-1]
    s.open("A", "B", "group" if len(keys) > 2 else "friend")
    s.put(instead="[ instead of {x1}|, as {x1} {clash}|]", paid="[, which costs {p} each| for {p} each|]", jobs="")
    if len(keys) == 2 and s.brief():
        s.talk("""
            A: [{M} turns {age} soon.|It's {M}'s birthday soon.] [What about a party on {d1} at {x1}?|Shall we
            surprise {M.him} on {d1}, at {x1}?]
            B: [{x1} {clash}, and on {d1} I can't.|On {d1} I'm away, and {x1} {clash}.] [Let's take {x2}, on
            {d2}.|{d2} at {x2}?]
            A: [Good, {d2} at {t}.|{d2}, then, at {t}.] [And the present? I thought of {g2}. That's {p} each.|We could
            buy {g2} for {p} each.]
            B: [{M.he}'ll love that.|Perfect, I'll get it.|I'm in.]
        """)
        _birthday_summaries(s)
        return
    s.talk("""
        A: [It's {M}'s birthday soon.|You know that {M} turns {age} soon?] [We should plan a surprise party.|I'd like
        to surprise {M.him} with a party.] [On {d1}?|What about {d1}?]
        B: [Lovely idea!|I'm in!] [Shall we do it at {x1}?|What about {x1}?]
    """)
    if len(keys) == 2:
        s.talk("A: [I asked. {x1} {clash}.|No, {x1} {clash}.] [{x2} would be nice too.|Let's take {x2}.]")
    else:
        s.talk(
            """
            X: [{x1} {clash}, I've asked.|Pity, {x1} {clash}.] [But {x2} would be nice.|Why not {x2}?|{x2} would be
            better.]
        """,
            X=c,
        )
    s.indirect = s.chance(0.6)
    if s.indirect:
        s.person("N", present=False)
        s.talk("""
            B: [{N} told me {M} is away on {d1}, though.|But {N} says {M} has to work on {d1}.] [It should be {d2}.|So
            {d2} is better.]
            A: [Good that you asked {N.him}.|Oh, I see.] [Then {d2}, at {t}.|{d2} at {t}, then?]
            --
        """)
    else:
        s.talk("""
            B: [On {d1} I can't. What about {d2}?|I'm away on {d1}, so could we take {d2}?]
            A: [{d2} is fine. Say, at {t}?|All right, {d2} at {t}.]
            --
        """)
    s.talk(
        """
        Y: [And what about a present? {g1}?|We could give {M.him} {g1}.]
        A: [{M.he}'s already got that.|{M.he} wouldn't use that, I think.] [I'd rather get {g2}.|What about
        {g2}?|{M.he} wants {g2}.]
    """,
        Y=d,
    )
    s.talk(f"""
        {d if d != "A" else "B"}: [Perfect. How much is that each?|Good. And what does everyone pay?]
        A: [{{p}} each.|It's {{p}} for each of us.]
        --
    """)
    s.talk("B: [I'll take care of {food}.|I'll do {food}.|Leave {food} to me.]")
    s.put(jobs="[. {B} [takes care of|is responsible for|will see to] {food}|]")
    if len(keys) > 2:
        s.talk("X: [And I'll see to {food2}.|Then I'll do {food2}.]", X=c)
        s.put(jobs=f"[. {{B}} will see to {{food}} and {{{c}}} to {{food2}}|. {{{c}}} will do {{food2}}|]")
    if len(keys) > 4:
        s.talk("E: [I'll keep {M} busy until then.|And I'll make sure that {M} doesn't notice anything.]")
    if s.chance(0.3):
        s.talk("""
            B: [Who's collecting the money?|Who can I ring if there's a problem?]
            A: [Me. My number is {phone}.|I'll do that. My number is {phone}.]
        """)
    if s.maybe():
        s.talk("""
            A: [And not a word to {M.him}!|Remember, it's a secret.]
            B: [My lips are sealed.|I won't say a thing.]
        """)
    s.close("B", "A", "group")
    _birthday_summaries(s)


def _birthday_summaries(s: Scene) -> None:
    s.summarise("""
        - {all} [plan|are planning] a surprise party for {M} at {x2} on {d2} at {t}. [They will give|The present is]
          {g2}{paid}{jobs}.
        - {all} [organise|want to organise] {M}'s birthday. [The party is|It takes place] on {d2} at {t} at
          {x2}{instead}, and [they buy|the present is] {g2}.
        - {M}'s birthday party [will be|is planned] at {x2} on {d2}, not on {d1}. Everyone pays {p} for {g2}{jobs}.
        - A surprise party for {M} [is planned|is being planned] by {all}. [They choose|They settle on] {g2} as a
          present and {x2} as the place{instead}{jobs}.
        - For {M}'s birthday, {A} suggests {d1}, but it [will be|is moved to] {d2} at {t} at {x2}. {all} will [pay {p}
          each for {g2}|give {M.him} {g2}].
        - {all} will [surprise|celebrate with] {M} on {d2} at {t} at {x2}. The present, {g2}, costs {p} each{jobs}.
    """)
    s.topic("planning a surprise party|a birthday present|a birthday party|a surprise for a friend")


SPORTS = pool(
    "football, swimming, judo, basketball, volleyball, badminton, choir, handball, table tennis, rowing, hockey",
    "fencing, archery, curling",
)


def training(s: Scene) -> None:
    """A club changes its practice, sells places on a trip or signs somebody up."""
    keys = s.friends(s.rng.choice((2, 2, 3, 3, 4, 5)))
    s.cast["A"].role = s.pick(("Coach", "Coach", ""))
    d1, d2 = s.several(values.WEEKDAYS, 2)
    t1, t2 = values.times(s.rng, 15, 17, 1) + values.times(s.rng, 18, 20, 1)
    p1, p2 = s.amounts(6, 60, 2, 2)
    s.put(
        sport=s.pick(SPORTS),
        d1=d1,
        d2=d2,
        t1=t1,
        t2=t2,
        p1=p1,
        p2=p2,
        city=s.pick(values.CITIES),
        bus=values.times(s.rng, 6, 11, 1)[0],
        all=s.all_names(keys),
        rest=s.all_names(keys[1:]),
    )
    s.put(
        hall=s.pick(("the school hall", "the old gym", "the sports centre", "the arena", "the clubhouse")),
        why=s.pick(("is being painted", "has a broken roof", "is used for an exam", "is flooded")),
    )
    s.put(
        bring=s.pick(("the drinks", "the shirts", "the first-aid kit", "the fruit", "the flags")),
        ill=s.pick(("a cold", "a twisted ankle", "a fever", "a bad back")),
        phone=s.phone(),
        address=s.address(),
    )
    s.person("M", present=False)
    s.put(m="concert" if s.facts["sport"] == "choir" else "match")
    c = keys[2] if len(keys) > 2 else "B"
    s.open("A", "B", "group" if len(keys) > 2 else "friend")
    s.talk("""
        A: [I've got news about {sport}.|It's about {sport} this week.] [{hall} {why} on {d1}, so there's no
        practice.|We can't use {hall} on {d1}, because it {why}.]
        B: [Oh, what a shame.|Again?] [Can we do it another day?|When do we practise, then?]
        A: [On {d2} at {t1}.|I thought of {d2} at {t1}.]
    """)
    s.talk(
        """
        X: [{t1} is too early for me.|I can't make {t1}.] [Could it be {t2}?|What about {t2}?]
        A: [All right, {d2} at {t2}.|{t2} is fine. So {d2} at {t2}.]
        --
    """,
        X=c,
    )
    s.indirect = s.chance(0.6)
    if s.indirect:
        s.talk("""
            B: [{M} told me {M.he} can't come, {M.he}'s got {ill}.|I spoke to {M}. {M.he} says {M.he} has {ill} and
            won't come.]
            A: [Poor {M}. Then somebody else has to step in.|Oh no, we need {M.him}!]
        """)
        s.put(absent="[. {M} cannot come because of {ill}|. {M} is missing with {ill}|]")
    else:
        s.put(absent="")
    s.talk(
        """
        B: [And what about the {m} in {city}?|Is the trip to {city} still on?]
        A: [It's still on. The bus leaves at {bus}, and it's {p1} each.|Ah, that: the bus leaves at {bus}, and
        everyone pays {p1}.]
        X: [Only {p1}? I thought it was {p2}.|I heard it was {p2}.]
        A: [The club pays the rest.|No, {p1}. We got a discount.]
        --
    """,
        X=c,
    )
    helper = keys[-1]
    s.put(helper=s.all_names([helper]))
    s.talk("H: [I'll bring {bring}.|I'll take care of {bring} this time.]", H=helper)
    if len(keys) > 4:
        s.talk("D: [And I'll drive behind the bus with the bags.|I can take the bags in my car.]")
    if s.chance(0.35):
        s.talk("A: [Good. If you're late, call me on {phone}.|Great. We meet at {address}.]\nB: [Got it.|Noted.]")
    s.close("B", "A", "group")
    s.summarise("""
        - {A} [tells|informs] {rest} that {sport} practice [is moved|moves] from {d1} to {d2} at {t2}, as {hall}
          {why}. The trip to {city} costs {p1} each{absent}.
        - [Because|As] {hall} {why}, {sport} practice will be on {d2} at {t2}. The bus to {city} [leaves|goes] at
          {bus} and costs {p1}, and {helper} brings {bring}.
        - {all} [move|change] {sport} practice to {d2} at {t2}. [They also talk about|There is also] the {m} in
          {city}: [the bus leaves at {bus}|everyone pays {p1}]{absent}.
        - {sport} practice [is on {d2} at {t2} instead of {d1}|changes from {d1} to {d2} at {t2}]. For the {m} in
          {city}, everyone pays {p1}, [not {p2}|and {helper} will bring {bring}].
        - {A} [suggests|proposes] {d2} at {t1} for {sport} practice, but they [settle on|agree on] {t2}. {helper} will
          bring {bring} to the {m} in {city}{absent}.
        - There is no {sport} practice on {d1} because {hall} {why}. {all} [will meet|agree to meet] on {d2} at {t2},
          and the bus to {city} is at {bus}.
    """)
    s.topic("a change of practice|{sport} practice|a club trip|moving {sport} practice|a trip to {cl}")
    s.put(cl=s.facts["city"].lower())
