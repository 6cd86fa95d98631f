"""Tables and appointments."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

RESTAURANTS = pool(
    "the Blue Lantern, the Old Mill, Casa Verde, the Golden Fork, Bella Notte, the Harbour Grill, the Copper "
    "Pot, Little "
    "Saigon, the Olive Tree, the Red Barn, Spice Garden, the Corner Bistro",
    "the Crooked Spoon, Taverna Melina, the Salt Cellar",
)


def restaurant(s: Scene) -> None:
    """A guest books a table; the first time is taken, or the size of the party changes."""
    s.register = "service"
    s.person("P", role=s.pick(("Waiter", "Host", "Manager")))
    s.person("A")
    first, second = values.times(s.rng, 18, 21, 2, 30)
    size = s.rng.randint(3, 11)
    s.put(
        place=s.pick(RESTAURANTS),
        day=s.pick(values.WEEKDAYS),
        t1=first,
        t2=second,
        n1=size,
        n2=size + s.rng.choice((1, 2, 3)),
        event=s.pick(("birthday", "anniversary", "graduation", "farewell dinner", "promotion", "engagement")),
        seat=s.pick(("by the window", "on the terrace", "in the quiet corner", "near the fireplace", "in the garden")),
        need=s.pick(("is vegetarian", "is allergic to nuts", "can't eat gluten", "is vegan", "can't have dairy")),
        phone=s.phone(),
    )
    s.relative()
    s.open("P", "A", "phone")
    s.put(extra="", why="", diet="", full="", because="")
    if s.brief():
        s.talk("""
            A: [Could I have a table at {place} on {day}, for {n1}, at {t1}?|I'd like to come to {place} with {n1}
            people on {day}, at {t1}.]
            P: [{t1} is full, I'm sorry.|I have nothing at {t1}.] [What about {t2}?|I could do {t2}.]
            A: [{t2} is fine too.|All right, {t2}.] [But make it {n2} people, please.|And it's {n2} of us, sorry, not
            {n1}.]
            P: [Very well: {day}, {t2}, {n2} people.|A table for {n2} on {day} at {t2}. See you then.]
        """)
        s.put(full="[{t1} is fully booked|there is no table at {t1}]", because=" because {full}")
        _restaurant_summaries(s)
        return
    s.talk("""
        A: [I'd like to book a table at {place}|Is this {place}? I'd like to reserve a table|I'm calling about a table
        at {place}] [for {day}|for this {day}|on {day} evening], [please|if possible].
        P: [Certainly.|With pleasure.] [For how many people, and at what time?|How many of you will there be, and
        when?]
        A: [There'll be {n1} of us|We're {n1} people|A table for {n1}], [at {t1}|at about {t1}|around {t1}], please.
    """)
    changed_time, changed_size = s.chance(0.75), s.chance(0.4)
    if changed_time:
        s.talk("""
            P: [I'm afraid we're fully booked at {t1}.|Oh dear, there's nothing left at {t1}.] [I could offer you
            {t2}.|Would {t2} suit you?|What about {t2}?]
            A: [That's not ideal, but {t2} is fine.|{t2}? Yes, that works too.|All right, let's say {t2}.]
            --
        """)
    else:
        s.put(t2=first)
        s.talk("P: [That's no problem.|Yes, {t1} is free.|You're lucky, that's our last table.]")
    if changed_size:
        s.indirect = s.chance(0.6)
        if s.indirect:
            s.talk("""
                A: [Oh, wait.|Ah, one more thing.] My {rel} [told me|said] yesterday that {R.he} [wants to bring some
                friends|is coming with friends after all]. [So we'll be {n2}, not {n1}.|That makes {n2} of us instead
                of {n1}.]
                P: [{n2} people, then. I'll put two tables together.|No problem, I'll change it to {n2}.]
            """)
        else:
            s.talk("""
                A: [Sorry, I've miscounted.|Oh, I forgot the children.] [We'll be {n2} in fact.|Make that {n2} people,
                please.]
                P: [{n2} it is.|So {n2} instead of {n1}. That's fine.]
            """)
    else:
        s.put(n2=size)
    s.talk("--")
    if s.maybe():
        s.talk("""
            A: [It's for my {rel}'s {event}, so could we sit {seat}?|We're celebrating my {rel}'s {event}. Could we
            have something {seat}?]
            P: [I'll see to it. You'll sit {seat}.|Of course, I'll note that down.]
            --
        """)
        s.put(extra="[ {seat}|, {seat}|]", why="[ to celebrate {A.his} {rel}'s {event}| for {A.his} {rel}'s {event}|]")
    else:
        s.put(extra="", why="")
    if s.maybe():
        s.talk("""
            A: [One of us {need}. Is that a problem?|I should mention that one guest {need}.]
            P: [Not at all, I'll tell the kitchen.|Our chef will take care of that.]
        """)
        s.put(diet="[. One guest {need}|. One of the guests {need}|]")
    else:
        s.put(diet="")
    if s.chance(0.35):
        s.talk("""
            P: [Could I have a phone number, just in case?|And a number where we can reach you?]
            A: [Sure, it's {phone}.|It's {phone}.]
        """)
    s.talk("""
        P: [So that's {day} at {t2} for {n2}.|Let me repeat: {n2} people, {day}, {t2}.|You're in the book. We'll see
        you on {day} at {t2}.]
    """)
    s.close("A", "P")
    s.put(full="[{t1} is fully booked|there is no table at {t1}|nothing is free at {t1}]" if changed_time else "")
    s.put(because=" because {full}" if changed_time else "")
    _restaurant_summaries(s)


def _restaurant_summaries(s: Scene) -> None:
    s.summarise("""
        - {A} [books|reserves] a table for {n2} at {place} on {day} at {t2}{why}{because}{diet}.
        - {A} [calls|phones] {place} to [book|reserve] a table. [They agree on|{P} offers] {day} at {t2} for {n2}
          people{extra}{diet}.
        - {P} [takes a reservation|takes a booking] from {A} for {n2} people on {day} at {t2}{extra}{diet}.
        - {A} [wants|would like] a table at {place} on {day}{why}. [{P} gives {A.him} one|They settle on one] for {n2}
          people at {t2}{extra}.
        - A table for {n2} at {place} is [booked|reserved] by {A} for {day} at {t2}{because}{diet}.
        - {A} [reserves|gets] a table{extra} at {place} for {day} evening. [The party is of {n2} and arrives at
          {t2}|{n2} people will come at {t2}]{diet}.
    """)
    s.topic("booking a table|a restaurant reservation|a table for {n2}|dinner on {day_lower}|reserving a table")
    s.put(day_lower=s.facts["day"].lower())


CLINICS = {
    "Dentist": ("a check-up", "a filling", "a toothache", "a broken tooth", "a cleaning"),
    "Doctor": ("a blood test", "a sore throat", "a vaccination", "back pain", "a skin rash", "a bad cough"),
    "Optician": ("an eye test", "new glasses", "contact lenses"),
    "Physiotherapist": ("a stiff neck", "knee pain", "a sprained ankle"),
}


def appointment(s: Scene) -> None:
    """A patient makes, moves or cancels an appointment with a receptionist."""
    s.register = "service"
    s.person("P", role="Receptionist")
    s.person("A")
    s.person("D", title="Dr.", present=False)
    who = s.pick(list(CLINICS))
    d1, d2, d3 = s.several(values.WORKDAYS, 3)
    t1, t2, t3 = values.times(s.rng, 8, 17, 3, 10)
    s.put(who=who.lower(), reason=s.pick(CLINICS[who]), d1=d1, d2=d2, d3=d3, t1=t1, t2=t2, t3=t3)
    s.put(birth=s.secret(values.birth_date(s.rng)), phone=s.phone())
    s.put(clash=s.pick(("a work trip", "an exam", "a wedding", "a school event", "a training course", "a funeral")))
    s.relative()
    kind = s.pick(("new", "move", "move", "cancel"))
    brief = s.brief()
    s.open("P", "A", "phone")
    if brief:
        s.talk("""
            A: [I can't come to {D} on {d1} at {t1}, because of {clash}.|My appointment with {D} is on {d1}, {t1}, but
            I've got {clash} then.] [Could I have another day?|Can we move it?]
            P: [I can offer {d3} at {t3} or {d2} at {t2}.|There's {d3} at {t3}, or {d2} at {t2}.]
            A: [{d3} is no good.|Not {d3}.] [{d2} at {t2}, please.|I'll take {d2}, {t2}.]
            P: [You're down for {d2}, then.|Fine, we'll see you on {d2}.]
        """)
        s.put(did="[moves|reschedules] {A.his} appointment with {D}", aim="move {A.his} appointment with {D}", extra="")
        s.topic("moving a {who} appointment|rescheduling an appointment|a new appointment time|a change of appointment")
    elif kind == "new":
        s.talk("""
            A: [I need an appointment with {D}|I'd like to see {D}] about {reason}.
            P: [{D} has a gap on {d1} at {t1}.|The first thing I have is {d1} at {t1}.|How about {d1}, {t1}?]
            A: [{d1} is bad, I've got {clash}.|I can't on {d1} because of {clash}.] [Is there anything later?|Anything
            else?]
            P: [Then I have {d2} at {t2} or {d3} at {t3}.|There's {d2} at {t2}, or else {d3} at {t3}.]
            --
            A: [I'll take {d2}, please.|{d2} suits me better.|{d2} is perfect.]
        """)
        s.put(did="[makes|gets] an appointment with {D} for {reason}", aim="see {D} about {reason}")
        s.topic("making a {who} appointment|an appointment for {bare}|seeing the {who}")
    elif kind == "move":
        s.talk("""
            A: [I've got an appointment with {D} on {d1} at {t1}|{D} is expecting me on {d1} at {t1}, for {reason}],
            but [I've got {clash} that day|{clash} has come up].
            P: [I see. Shall we move it?|No problem, we'll find another day.] [What about {d3} at {t3}?|Would {d3} at
            {t3} do?]
            A: [No, {d3} doesn't work either.|Not {d3}, I'm afraid.] [Do you have anything on {d2}?|{d2} would be
            better.]
            P: [On {d2} I can do {t2}.|Let me see... {d2} at {t2} is free.]
            --
            A: [Great, I'll come then.|That's perfect.|Then please put me down for {t2}.]
        """)
        s.put(did="[moves|reschedules] {A.his} appointment with {D}", aim="move {A.his} appointment with {D}")
        s.topic("moving a {who} appointment|rescheduling an appointment|a new appointment time|a change of appointment")
    else:
        s.indirect = True
        s.talk("""
            A: [I'm calling for my {rel}.|It's about my {rel}.] {R.he} [says {R.he} can't come|told me {R.he} can't
            make it] on {d1} at {t1} because of {clash}.
            P: [What a pity.|I see.] [Was that with {D}, for {reason}?|That's {reason} with {D}, isn't it?]
            A: [Exactly.|Yes, that's right.] [{R.he} asked for another day.|{R.he} said any other day would do.]
            P: [Would {d3} at {t3} be all right?|I could offer {d3} at {t3} or {d2} at {t2}.]
            --
            A: [{R.he} said that {d3} is impossible, so {d2} at {t2}, if you have it.|{R.he} works on {d3}. Could
            {R.he} have {d2} at {t2}?]
            P: [Yes, that's possible.|Fine, {d2} it is.]
        """)
        s.put(
            did="[moves|reschedules] {A.his} {rel}'s appointment with {D}",
            aim="change {A.his} {rel}'s appointment with {D}",
        )
        s.topic("an appointment for a {rel}|moving a {rel}'s appointment|a {rel}'s {who} appointment")
    s.put(bare=s.facts["reason"].removeprefix("a ").removeprefix("an "))
    if not brief and s.maybe() and s.chance(0.55):
        s.talk("""
            P: [Could you give me the date of birth?|And the date of birth, please?]
            A: [{birth}.|It's {birth}.|Sure, {birth}.]
        """)
    if not brief and s.chance(0.2):
        s.talk("P: [And a phone number, please?|Is there a number for a reminder?]\nA: [{phone}.|Yes, it's {phone}.]")
    s.talk("--")
    if not brief and s.maybe():
        s.put(bring=s.pick(("the insurance card", "the referral letter", "the old X-rays", "a list of medicines")))
        s.talk("""
            P: [Please don't forget {bring}.|And please bring {bring}.]
            A: [I'll remember {bring}.|Of course.|Good that you remind me.]
        """)
        s.put(extra="[. {P} asks {A.him} to bring {bring}|. {A.he} has to bring {bring}|]")
    else:
        s.put(extra="")
    if not brief:
        s.talk("P: [So, {d2} at {t2} with {D}.|All done: {d2}, {t2}.|I've put it in for {d2} at {t2}.]")
        s.close("A", "P")
    s.put(no="[there is {clash} on {d1}|{clash} gets in the way on {d1}|{clash} is on {d1}]")
    s.summarise("""
        - {A} {did}. [The new date is|They agree on] {d2} at {t2}, [because|since|as] {no}{extra}.
        - {A} [calls|phones] {P} to {aim}. [They settle on|{P} offers] {d2} at {t2}{extra}.
        - {P} [gives|offers] {A} {d2} at {t2} with {D}, [because|as] {no}.
        - [Because|Since] {no}, {A} {did} [for|and takes] {d2} at {t2}{extra}.
        - {A} [wants to|would like to] {aim}. {d3} [is not possible either|does not suit], so {P} [writes down|books]
          {d2} at {t2}.
        - The appointment with {D} [is set for|will be on] {d2} at {t2} [after {A} calls {P}|after a call from {A}],
          as {no}{extra}.
    """)
