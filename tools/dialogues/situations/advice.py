"""Talks with a teacher, and technical help."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

SUBJECTS = ("maths", "history", "biology", "geography", "chemistry", "spelling", "physics", "French")


def school(s: Scene) -> None:
    """A parent, sometimes with the pupil, talks to a teacher."""
    s.register = "formal"
    s.person("P", title="Mr.", role=s.pick(("Teacher", "", "")))
    s.staff = {"P"}
    s.person("A")
    both = s.chance(0.6)
    s.person("K", present=both)
    s1, s2 = s.several(SUBJECTS, 2)
    d1, d2 = s.several(values.WORKDAYS, 2)
    t1, t2 = values.times(s.rng, 13, 17, 2)
    s.put(
        s1=s1,
        s2=s2,
        d1=d1,
        d2=d2,
        t1=t1,
        t2=t2,
        child="son" if s.cast["K"].gender == "m" else "daughter",
        grade=s.pick(("a D", "a C", "a fail", "a poor mark")),
    )
    s.put(
        test=s.rng.randint(24, 48),
        cause=s.pick(
            (
                "plays computer games at night",
                "sits next to a noisy friend",
                "misses the first lesson",
                "never does the homework",
                "forgets the books",
            )
        ),
    )
    s.put(
        club=s.pick(("football", "choir", "chess club", "dance class", "swimming")),
        n=s.pick(("four", "six", "eight", "ten")),
        price=s.money(8, 30),
        phone=s.phone(),
        email=s.email("A"),
    )
    s.put(
        kids="{K.poss}" if both else "{K}'s",
        change=s.pick(
            (
                "sit in the front row",
                "hand in the phone at night",
                "keep a homework diary",
                "read for half an hour a day",
            )
        ),
    )
    s.open("P", "A", "welcome")
    s.talk("""
        P: [It's about {K} and {s1}.|I wanted to talk about {K}'s work in {s1}.] [The last test was {grade}, I'm sorry
        to say.|There was {grade} in the last test.]
        A: [Oh no, {K.he} didn't tell me that.|Really? At home {K.he} says everything's fine.] [And {s2}?|What about
        {s2}?]
        P: [{s2} is very good, no worries there.|In {s2} {K.he} is one of the best.] [But I've noticed that {K.he}
        {cause}.|The trouble is that {K.he} {cause}.]
        --
    """)
    s.indirect = True
    if both:
        s.talk("""
            K: [That's not the whole story. I don't understand {s1} at all.|It's just so hard, I don't get {s1}.]
            P: [Thank you for being honest.|I'm glad you say that.]
        """)
    s.talk("""
        A: [What can we do about it?|How can we help?]
        P: [There's an extra lesson on {d1} at {t1}.|I teach a small group on {d1} at {t1}.]
    """)
    if both:
        s.talk("K: [On {d1} I've got {club}!|But that's when I have {club}.]")
    else:
        s.talk("A: [On {d1} {K.he} has {club}.|{d1} is impossible because of {club}.]")
    s.talk("""
        P: [There's a second group on {d2} at {t2}.|Then {d2} at {t2}, with my colleague.]
        A: [{d2} at {t2} is fine.|That's better. {d2}, then.] [Does it cost anything?|Is it free?]
    """)
    free = s.chance(0.4)
    if free:
        s.talk("P: [It's free, for {n} weeks.|Yes, it's free. It goes on for {n} weeks.]")
        s.put(cost="free")
    else:
        s.talk("""
            P: [It's {price} a lesson, for {n} weeks.|{price} each time, and it runs for {n} weeks.]
            A: [That's all right.|We'll manage that.]
        """)
        s.put(cost="{price} a lesson")
    s.talk("--")
    if s.maybe():
        s.talk("""
            P: [And {K} should {change}.|It would help, too, if {K} could {change}.]
            A: [We'll try that.|I'll see to it.]
        """)
        s.put(extra="[. {K} should also {change}|. {P} also wants {K} to {change}|]")
    else:
        s.put(extra="")
    if s.chance(0.25):
        s.talk("""
            P: [Can I reach you if there's news?|How can I reach you?]
            A: [Yes, write to {email}.|My number is {phone}.]
        """)
    s.close("A", "P")
    s.summarise("""
        - {P} [tells|informs] {A} that {K} got {grade} in {s1}. {K} will [take|go to] extra lessons on {d2} at {t2}
          for {n} weeks{extra}.
        - {A} [meets|talks to] {P} about {kids} [marks|problems] in {s1}. [The group on {d1} clashes with {club}|{d1}
          is impossible], so {K} will come on {d2} at {t2}.
        - {K} has [trouble with|problems in] {s1} because {K.he} {cause}. {A} and {P} agree on [extra lessons|a
          lesson] on {d2} at {t2}{extra}.
        - {P} says that {K} {cause} and has {grade} in {s1}. [Extra lessons|The extra lessons] on {d2} are {cost} and
          last {n} weeks.
        - [Because of {club} on {d1}|As {K} has {club} on {d1}], {K} will go to an extra {s1} lesson on {d2} at {t2}.
          {P} has told {A} about [{grade} in the test|{grade}].
        - {A} [hears|learns] from {P} that {K} is good in {s2} but not in {s1}. [They decide on|They arrange] extra
          lessons for {n} weeks, on {d2} at {t2}.
    """)
    s.topic("trouble with {s1l}|extra {s1l} lessons|a parents' evening|a talk about marks|a bad mark in {s1l}")
    s.put(s1l=s1.lower())


DEVICES = pool(
    "laptop, printer, router, tablet, phone, smart television, computer, monitor, scanner",
    "projector, e-reader, games console",
)


def support(s: Scene) -> None:
    """A support call: a fault, things tried, the cure or a visit."""
    s.register = "service"
    s.person("P", role=s.pick(("Technician", "Support agent", "Helpdesk")))
    s.person("A")
    d1, d2 = s.several(values.WORKDAYS, 2)
    t1, t2 = values.times(s.rng, 8, 18, 2, 30)
    s.put(
        dev=s.pick(DEVICES),
        d1=d1,
        d2=d2,
        t1=t1,
        t2=t2,
        ref=values.code(s.rng, "TS", 5),
        price=s.money(25, 120, 5),
        n=s.pick(("two", "three", "four", "five")),
    )
    fault = s.pick(
        (
            "won't turn on",
            "keeps freezing",
            "shows a blue screen",
            "won't connect to the network",
            "makes a strange noise",
            "is terribly slow",
            "turns itself off",
        )
    )
    s.put(fault=fault, err=f"{s.rng.choice('EFX')}{s.rng.randint(100, 999)}")
    dead = fault in ("won't turn on", "turns itself off")
    cures = s.several(
        (
            "change the cable",
            "unplug it for a minute",
            "reset it",
            *(() if dead else ("restart it", "install the update", "delete the old files")),
        ),
        2,
    )
    done = {
        "restart it": "restarting it",
        "change the cable": "changing the cable",
        "install the update": "installing the update",
        "reset it": "resetting it",
        "unplug it for a minute": "unplugging it for a minute",
        "delete the old files": "deleting the old files",
        "change the password": "changing the password",
    }
    s.put(
        c1=cures[0],
        c2=cures[1],
        g1=done[cures[0]],
        g2=done[cures[1]],
        email=s.email("A"),
        phone=s.phone(),
        address=s.address(),
    )
    s.relative()
    s.open("P", "A", "phone")
    s.indirect = s.chance(0.3)
    if s.indirect:
        s.talk("""
            A: [It's my {rel}'s {dev}.|I'm calling about my {rel}'s {dev}.] {R.he} [says it {fault}|told me that it
            {fault}], and there's error {err}.
        """)
        s.put(own="{A.his} {rel}'s {dev}", owner="{A.poss} {rel}'s {dev}")
    else:
        s.talk("""
            A: [My {dev} {fault}.|I've got a problem with my {dev}: it {fault}.] [The error is {err}.|It says {err},
            whatever that means.]
        """)
        s.put(own="{A.his} {dev}", owner="{A.poss} {dev}")
    s.talk("""
        P: [I see. Did you {c1}?|Have you tried to {c1}?]
        A: [Yes, {n} times, and nothing happened.|I did that {n} times. It didn't help.]
        P: [Then please {c2}.|All right, please {c2} now.]
        --
    """)
    cured = s.chance(0.4)
    if cured:
        s.talk("""
            A: [Okay, give me a second... Oh! It works again.|One moment... I don't believe it, it works!]
            P: [Wonderful.|I'm glad to hear that.] [If it comes back, use the reference {ref}.|Your case number is
            {ref}, just in case.]
            --
        """)
        s.put(end="[{g2} solves the problem|it works again after {g2}|{g2} helps]")
        s.put(tail="[. The case number is {ref}|. {P} gives the reference {ref}|]")
    else:
        s.talk("""
            A: [Nothing. It {fault}, just like before.|No change at all, I'm afraid.]
            P: [Then a technician has to come.|I'll have to send somebody.] [Would {d1} at {t1} be all right?|What
            about {d1} at {t1}?]
            A: [I'm out on {d1}. Is {d2} possible?|{d1} is bad. I'm free on {d2}.]
            P: [{d2} at {t2}, then. It costs {price}.|Yes, on {d2} at {t2}, for {price}.]
            --
            A: [That's all right.|Fine, as long as it works again.]
        """)
        s.put(
            end="[a technician will come on {d2} at {t2}|somebody will come to repair it on {d2} at {t2}|a visit "
            "is arranged for {d2} at {t2}]"
        )
        s.put(tail="[. The visit costs {price}|. This will cost {price}|]")
        if s.chance(0.6):
            s.talk("""
                P: [And your address?|Where is it, please?]
                A: [{address}.|It's {address}, on the ground floor.]
            """)
    if s.chance(0.4):
        s.talk("""
            P: [Shall I send you the steps by e-mail?|Can I e-mail you a short survey?]
            A: [Yes, to {email}.|If you like. It's {email}.]
        """)
    s.close("A", "P")
    s.put(
        but="but" if cured else "so",
        tried="{g1} {n} times did not help, but" if cured else "{A} has tried {g1} {n} times, and",
    )
    s.summarise("""
        - {A} [calls|phones] {P} because {own} {fault}. {g1} does not help, {but} {end}{tail}.
        - {owner} {fault} and shows error {err}. {P} tells {A} to {c2}, and {end}{tail}.
        - {P} helps {A} with {own}, which {fault}. {tried} {end}{tail}.
        - {A} has trouble with {own}: it {fault}. [In the end|Finally], {end}{tail}.
        - [Because|As] {own} {fault}, {A} asks {P} for help. {A} has tried {g1} [{n} times|without success], and
          [now|finally] {end}.
        - {A} and {P} [try to repair|try to fix] {own}. {g1} does not help; {end}{tail}.
    """)
    s.topic("a broken {dev}|help with a {dev}|a {dev} that fails|a technical problem|a support call")
