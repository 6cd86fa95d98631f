"""Job interviews and project meetings."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

JOBS = pool(
    "cook, nurse, bus driver, receptionist, gardener, accountant, teacher, electrician, web designer, sales "
    "assistant, lab technician, journalist, barista, "
    "warehouse worker, translator",
    "beekeeper, glassblower, lighthouse guide",
)


def interview(s: Scene) -> None:
    """A job interview: experience, hours, pay and start."""
    s.register = "formal"
    s.person("P", role=s.pick(("Manager", "Interviewer", "")), title="Mr.")
    s.staff = {"P"}
    s.person("A")
    third = s.chance(0.3)
    if third:
        s.person("C", role="Team leader")
    pay = s.rng.randrange(1900, 4000, 50)
    p1, p2 = f"{s.currency}{pay:,}", f"{s.currency}{pay + s.rng.randrange(50, 450, 50):,}"
    m1, m2 = s.months_apart()
    h2, h1 = sorted(s.several(("20", "25", "30", "35", "40"), 2))
    s.put(
        job=s.pick(JOBS),
        years=s.pick(("two", "three", "four", "six", "eight")),
        city=s.pick(values.CITIES),
        p1=p1,
        p2=p2,
        m1=m1,
        m2=m2,
        h1=h1,
        h2=h2,
    )
    s.put(
        skill=s.pick(
            (
                "speak Spanish",
                "have a driving licence",
                "know first aid",
                "speak French",
                "know a lot about computers",
                "speak Italian",
            )
        ),
        email=s.email("A"),
        phone=s.phone(),
    )
    s.put(skilled=s.facts["skill"].replace("speak", "speaks").replace("have", "has").replace("know", "knows"))
    s.put(
        reason=s.pick(
            (
                "have to look after my father",
                "have to finish a course",
                "have to pick up my children",
                "also play in a band",
            )
        ),
        day=s.pick(values.WORKDAYS),
    )
    s.person("M", present=False)
    s.open("P", "A", "welcome")
    s.talk("""
        P: [So you'd like to work for us as {a:job}.|You've applied as {a:job}, I see.] [What have you done so
        far?|Tell me about yourself.]
        A: [I've worked in {city} for {years} years.|I spent {years} years in the same job in {city}.] [I also
        {skill}.|And I {skill}.]
        --
    """)
    s.indirect = s.chance(0.4)
    if s.indirect:
        s.talk("""
            P: [I rang your old boss, {M}. {M.he} said you were never late.|{M}, your last boss, told me {M.he} was
            sorry to lose you.]
            A: [That's nice of {M.him}.|I'm happy to hear that.]
            --
        """)
    if third:
        s.talk("""
            C: [How do you deal with stress?|What would your friends say about you?]
            A: [I stay calm and make a list.|That I'm stubborn, but fair.]
            --
        """)
    s.talk(
        """
        P: [It's {h1} hours a week.|The contract is for {h1} hours a week.] [Is that all right?|Would that suit you?]
        A: [I'd prefer {h2}, because I {reason}.|Could it be {h2}? I {reason}.]
    """
    )
    hours = s.chance(0.6)
    if hours:
        s.put(h=h2)
        s.talk("P: [{h2} is possible.|We can do {h2}.]")
    else:
        s.put(h=h1)
        s.talk("""
            P: [I'm afraid we need you for {h1}.|It has to be {h1}, sorry.]
            A: [I'll manage somehow.|All right, I'll find a way.]
        """)
    s.talk("""
        P: [We'd pay {p1} a month.|The salary is {p1} a month.]
        A: [I was hoping for more.|I earn more than that now.]
        P: [{p2} is our last word.|Well, for the right person we'd go to {p2}.]
        A: [{p2} is fine.|I can accept {p2}.]
        --
        P: [When could you start? In {m1}?|Could you start in {m1}?]
        A: [I have to give notice, so {m2}.|Not before {m2}, I'm afraid.]
    """)
    offer = s.chance(0.5)
    if offer:
        s.talk("""
            P: [{m2} is fine. The job is yours.|Then welcome to the team, from {m2}!]
            A: [Wonderful, thank you!|I'm so glad. Thank you.]
        """)
        s.put(end="[gets the job|is offered the job|is hired]", ends="from {m2}")
    else:
        s.talk("""
            P: [{m2} is all right. We'll let you know by {day}.|Good. You'll hear from us by {day}.]
            A: [I look forward to it.|Thank you for your time.]
        """)
        s.put(
            end="[will hear more|will get an answer|will be told the decision] by {day}", ends="and could start in {m2}"
        )
    if s.chance(0.45):
        s.talk("""
            P: [Is {email} the best way to reach you?|Can I reach you at {email}?]
            A: [Yes, or on {phone}.|Yes, I check it every day.]
        """)
    s.close("A", "P")
    s.summarise("""
        - {A} [applies for a job|has an interview] as {a:job}. They agree on {h} hours a week for {p2} a month, and
          {A} {end} {ends}.
        - {P} interviews {A}, who has worked in {city} for {years} years, for a job as {a:job}. {A} {end}; the pay is
          {p2} for {h} hours.
        - After an interview [with {P}|] as {a:job}, {A} {end} {ends}. The salary [goes up from {p1} to {p2}|is {p2} a
          month].
        - In a job interview, {A} [says|explains] that {A.he} has {years} years of experience and {skilled}. {A.he}
          {end}; the post pays {p2} a month for {h} hours.
        - {A} would like to work as {a:job} and {end}. {A.he} can start in {m2}, [not in {m1}|instead of {m1}], for
          {p2} a month.
        - {P} and {A} [talk about|discuss] a job as {a:job}: {h} hours a week, {p2} a month[, starting in {m2}|]. {A}
          {end}.
    """)
    s.topic("a job interview|applying for a job|a job as {a:job}|pay and working hours")


PROJECTS = pool(
    "the website, the annual report, the new app, the catalogue, the training film, the trade fair stand, the "
    "customer survey, the budget, the newsletter, the product launch",
    "the museum guide, the audit, the wind farm bid",
)


def meeting(s: Scene) -> None:
    """Colleagues move a deadline and share out tasks."""
    s.register = "work"
    keys = s.friends(s.rng.choice((2, 3, 3, 4, 4, 5)))
    d1, d2 = (values.date(s.rng, month) for month in s.months_apart())
    budget = s.rng.randrange(4000, 18001, 500)
    p1, p2 = f"{s.currency}{budget - s.rng.randrange(500, 3001, 500):,}", f"{s.currency}{budget:,}"
    s.put(
        d1=d1,
        d2=d2,
        p1=p1,
        p2=p2,
        proj=s.pick(PROJECTS),
        all=s.all_names(keys),
        day=s.pick(values.WORKDAYS),
        t=values.times(s.rng, 9, 16, 1, 30)[0],
    )
    s.put(
        why=s.pick(
            (
                "the photos are missing",
                "the figures are wrong",
                "the supplier is late",
                "two people are ill",
                "the server keeps crashing",
                "the client keeps changing the plan",
            )
        )
    )
    tasks = s.several(
        (
            "check the figures",
            "write the introduction",
            "order the printing",
            "test the final version",
            "call the designer",
            "prepare the slides",
            "hire a temp",
            "find a new supplier",
            "update the schedule",
        ),
        5,
    )
    s.put(**{f"j{i}": t for i, t in enumerate(tasks)}, email=s.email("B"))
    s.person("M", title="Mr.", present=False)
    s.open("A", "B", "work" if len(keys) == 2 else "group")
    s.talk("""
        A: [We need to talk about {proj}.|It's about {proj}.|Let's look at {proj}.] [Will it be ready by {d1}?|The
        deadline is {d1}. Can we make it?]
        B: [I doubt it, because {why}.|To be honest, no: {why}.|Not really. The trouble is that {why}.]
    """)
    s.indirect = s.chance(0.6)
    if s.indirect:
        s.talk("""
            A: [I see. {M} from the client's side told me they could wait until {d2}.|I feared that. But {M} said on
            the phone that {d2} would be fine too.]
        """)
        s.put(client="[{M} has agreed|the client agrees]")
    else:
        s.talk("A: [Then we need a new date. What about {d2}?|I see. Could we do it by {d2}?]")
        s.put(client="[{why}|it cannot be done by {d1}]")
    s.talk("B: [{d2} is realistic.|By {d2} we can do it.|Yes, {d2} is safe.]\n--")
    k = keys[-1] if len(keys) > 2 else "B"
    s.talk(
        """
        Z: [And the money? Is it still {p2}?|We had {p2} for this, right?]
        A: [No, it's been cut to {p1}.|Sorry, it's only {p1} now.]
        Z: [{p1}? That's tight, but okay.|We'll have to live with {p1}.]
        --
    """,
        Z=k,
    )
    s.talk("B: [I'll {j0}.|I can {j0}.|Let me {j0}, then.]")
    s.talk(f"""
        {keys[2] if len(keys) > 2 else "A"}: [And I'll {{j1}}.|I'll {{j1}}, in that case.|Good, and I'll {{j1}}.]
    """)
    s.put(second=s.all_names([keys[2] if len(keys) > 2 else "A"]))
    if len(keys) > 3:
        s.talk("D: [I could {j2}.|And I'll {j2}.]")
    if len(keys) > 4:
        s.talk("E: [Then I'll {j3}.|I'll {j3}, if nobody minds.]")
    s.talk("--")
    s.put(extra="")
    if s.maybe():
        s.talk("""
            A: [Let's meet again on {day} at {t}.|Next meeting on {day}, {t}?]
            B: [I'll be there.|Fine, I'll book the room.]
        """)
        s.put(extra="[. They will meet again on {day} at {t}|. The next meeting is on {day} at {t}|]")
    if s.chance(0.35):
        s.talk("""
            A: [Where should the files go?|Whom should they send the files to?]
            B: [To me, at {email}.|Please use {email}.]
        """)
    s.close("A", "B", "work" if len(keys) == 2 else "group")
    s.summarise("""
        - {all} [discuss|talk about] {proj}. The deadline [is moved|moves] from {d1} to {d2} because {why}, and the
          budget is {p1}. {B} will {j0}{extra}.
        - {A} wants {proj} by {d1}, but {why}. [The new deadline is|They agree on] {d2}; {B} will {j0} and {second}
          will {j1}{extra}.
        - [Because|As] {why}, {proj} will [be finished|be ready] by {d2} [instead of {d1}|and not by {d1}]. {B} will
          {j0} and {second} will {j1}.
        - {proj} [is late|is delayed], since {why}. {all} [settle on|agree on] {d2} with a budget of {p1}, [cut from
          {p2}|not {p2}]{extra}.
        - The deadline for {proj} is [now|put off to] {d2}. The budget [falls from {p2} to {p1}|is cut to {p1}], {B}
          will {j0} and {second} will {j1}.
        - {all} [share out|divide] the work on {proj}: {B} will {j0} and {second} will {j1}. It [is due on|has to be
          done by] {d2}, with {p1} to spend{extra}.
    """)
    s.topic("a project deadline|work on {bare}|a project meeting|delays and budget cuts|a new deadline")
    s.put(bare=s.facts["proj"])
