"""Noise next door, and pets."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

NOISES = pool(
    "drums, loud music, a barking dog, a piano, parties, drilling, a television, jumping children, a washing "
    "machine, a trumpet",
    "bagpipes, a parrot, an electric saw",
)


# why quiet matters, as said and as summed up
REASONS = {
    "I start work at 5 am": "{A} starts work at 5 am",
    "I have an exam coming up": "{A} has an exam coming up",
    "my baby can't sleep": "{A.poss} baby cannot sleep",
    "I work night shifts": "{A} works night shifts",
    "my wife is ill": "{A.poss} wife is ill",
}


def noise(s: Scene) -> None:
    """A neighbour complains about noise; they agree on rules."""
    s.person("A")
    s.person("B", title=s.pick(("", "Mr.")))
    third = s.chance(0.45)
    if third:
        s.person("C", role=s.pick(("Caretaker", "House manager")))
        s.staff = set()
    kind = s.pick(NOISES)
    t1, t2 = values.times(s.rng, 18, 20, 1, 30) + values.times(s.rng, 21, 23, 1, 30)
    s.put(noise=kind, t1=t1, t2=t2, d1=s.pick(values.WORKDAYS), d2=s.pick(("Saturdays", "Sundays")), phone=s.phone())
    s.put(
        nights=s.pick(("three nights in a row", "the whole week", "two weekends in a row", "four evenings this week"))
    )
    s.put(why=s.pick(list(REASONS)))
    s.put(whys=REASONS[s.facts["why"]])
    s.put(
        mend=s.pick(
            (
                "put down a thick carpet",
                "close the windows",
                "use headphones",
                "move to the back room",
                "buy rubber mats",
            )
        )
    )
    s.open("A", "B", "friend") if not s.cast["B"].title else s.talk("""
        A: [Good evening{,B}. I hope I'm not disturbing you.|Hello{,B}. Am I disturbing you?]
        B: [Not at all. Is something wrong?|No, not at all. What is it?]
    """)
    s.talk("""
        A: [I live below you.|I'm from the flat downstairs.|We share a wall, as you know.] [I've heard {noise} from
        your flat for {nights}.|For {nights}, I've been hearing {noise} through the wall.]
        B: [Oh dear, I didn't know it was that bad.|Really? I thought nobody could hear that.|Sorry, the walls are
        like paper.]
        A: [It's hard, because {why}.|You see, {why}.] [Could you stop after {t1}?|Could it be quiet from {t1} on?]
    """)
    if third:
        s.talk("""
            C: [I couldn't help hearing you.|Sorry to interrupt.] [There are rules about that in this house.|I'm glad
            you're talking about it.]
            --
        """)
    s.indirect = s.chance(0.45)
    if s.indirect:
        s.person("M", present=False)
        s.put(floor=s.pick(("on the top floor", "across the hall", "on the ground floor")))
        s.talk("""
            A: [{M} {floor} told me it wakes {M.him} up too.|And {M} {floor} says {M.he} can't stand it either.]
            B: [I had no idea. Nobody told me.|{M} never said a word to me.]
            --
        """)
    s.talk(
        """
        B: [{t1} is very early for me.|I can't promise {t1}.] [What about {t2}?|Can we say {t2}?]
    """
    )
    if third:
        s.talk("C: [The house rules say {t2} as well.|{t2} seems fair to me.]")
    s.talk("""
        A: [All right, {t2}. But not at all on {d2}, please.|I can live with {t2}, if it's quiet on {d2}.]
        B: [That's a deal. And I'll {mend}.|Agreed. I could also {mend}.]
        --
    """)
    if s.chance(0.3):
        s.talk("""
            B: [Here's my number, just ring me if it's too loud: {phone}.|If it happens again, call me on {phone}.]
            A: [{phone}. Thank you, I will.|That's kind, thanks.]
        """)
    s.close("A", "B", "friend")
    s.put(sum_c="[ with the help of {C}|, helped by {C},|]" if third else "")
    s.summarise("""
        - {A} [complains to {B} about|asks {B} to stop] {noise}, [because|as] {whys}. They agree on [quiet|silence]
          from {t2} and on {d2}, and {B} will {mend}.
        - {B} [promises|agrees] to be quiet after {t2} and on {d2} and to {mend}, [after|when] {A} complains about
          {noise}.
        - {A} and {B} [settle|solve] a dispute about {noise}{sum_c}. [It has to be|It will be] quiet from {t2} on, and
          on {d2} all day.
        - [Because|As] {whys}, {A} [cannot stand|is bothered by] {noise} from {B.poss} flat. {t1} is too early for
          {B}, so they [agree on|settle on] {t2}.
        - {A} has heard {noise} from {B} for {nights}. {B} [will|offers to] {mend} and [stop|be quiet] at {t2}, but
          not at {t1} as {A} asked.
        - {A} is [unhappy about|annoyed by] {noise} from {B.poss} flat. {B} will {mend}, and it will be quiet from
          {t2} and on {d2}.
    """)
    s.topic("noise from a neighbour|a noisy neighbour|trouble with {last}|quiet hours|a complaint about noise")
    s.put(last=" ".join(w for w in kind.split() if w not in ("a", "an")))


PETS = pool("dog, cat, rabbit, parrot, guinea pig, hamster, puppy, kitten", "tortoise, ferret, iguana")


PET_NAMES = pool(
    "Biscuit, Milo, Luna, Pepper, Coco, Oscar, Ginger, Shadow, Daisy, Rocky, Bella, Muffin",
    "Pickwick, Zorro, Truffle, Waffles",
)


def vet(s: Scene) -> None:
    """A sick pet, a treatment and a price."""
    s.register = "service"
    s.person("P", role="Vet")
    s.person("A")
    if s.chance(0.3):
        s.person("B")
    p1, p2 = s.money(12, 90), s.money(120, 340, 5)
    s.put(
        pet=s.pick(PETS),
        name=s.pick(PET_NAMES),
        p1=p1,
        p2=p2,
        day=s.pick(values.WORKDAYS),
        t=values.times(s.rng, 8, 18, 1)[0],
    )
    s.put(n1=s.pick(("two", "three", "four")), n2=s.pick(("five", "seven", "ten")))
    trouble = s.pick(
        ("won't eat", "keeps scratching", "is limping", "has a swollen eye", "is breathing badly", "sleeps all day")
    )
    cause = {
        "won't eat": "an infected tooth",
        "keeps scratching": "fleas",
        "is limping": "a thorn in one paw",
        "has a swollen eye": "an eye infection",
        "is breathing badly": "a lung infection",
        "sleeps all day": "a vitamin deficiency",
    }[trouble]
    s.put(
        trouble=trouble,
        cause=cause,
        guess=s.pick(("poison", "cancer", "a broken bone", "a worm")),
        med=s.pick(("drops", "tablets", "a cream", "a powder")),
    )
    s.put(how=s.pick(("twice a day", "once a day", "with every meal", "every evening")), phone=s.phone())
    s.relative()
    s.open("P", "A", "visit")
    s.indirect = s.chance(0.35)
    if s.indirect:
        s.talk("""
            A: [It's my {pet}, {name}.|I'm worried about {name}, my {pet}.] My {rel} [says {name} {trouble}|told me on
            the phone that {name} {trouble}].
        """)
    else:
        s.talk("""
            A: [It's about {name}, my {pet}.|This is my {pet}, {name}.] {name} {trouble}[, and I don't know why|, and
            it's getting worse|].
        """)
    if s.brief():
        s.talk("""
            P: [It's only {cause}, not {guess}, luckily.|Don't worry, it's not {guess}. It's {cause}.] [I'll give you
            {med} for {p1}.|You'll need {med}, that's {p1}.]
            A: [What a relief.|Thank goodness.] [How do I use it?|How often?]
            P: [{how}, for {n2} days. Come back on {day} at {t}.|For {n2} days, {how}. And I want to see {name} on
            {day} at {t}.]
        """)
        s.cast.pop("B", None)
        _vet_summaries(s)
        return
    s.talk("""
        P: [For how long has that been going on?|Since when?]
        A: [For {n1} days.|About {n1} days.] [I hope it isn't {guess}!|It's not {guess}, is it?]
        P: [Let me have a look... No, it's {cause}.|No, don't worry. I can see that it's {cause}.]
        --
    """)
    if "B" in s.cast:
        s.talk("""
            B: [Thank goodness.|What a relief.] [Does it hurt?|Is it bad?]
            P: [A little, but we can treat it.|It's unpleasant, but not dangerous.]
        """)
    dear = s.chance(0.6)
    if dear:
        s.talk(
            """
            P: [I could treat it right here and now, for {p2}.|There's an injection that works at once, for {p2}.]
            A: [{p2}? I can't afford that right now.|That's a lot. Is there nothing cheaper?]
            P: [You could try {med} first. That's {p1}.|With {med} it takes longer, but that's only {p1}.]
            A: [Then let's try that first.|I'd rather do that.]
        """
        )
    else:
        s.talk("""
            P: [I'll give you {med} for {p1}.|{name} needs {med}. That'll be {p1}.]
            A: [That's all right.|Good, I'll do whatever helps.]
        """)
    s.talk("""
        A: [How often do I give it?|And how do I use it?]
        P: [{how}, for {n2} days.|For {n2} days, {how}.]
        --
    """)
    s.talk("""
        P: [Please come again on {day} at {t}.|I'd like to see {name} again on {day}. Is {t} all right?]
        A: [{day} at {t}, fine.|I'll be here.|Yes, I'll come straight from work.]
    """)
    if s.chance(0.3):
        s.talk("""
            P: [Is there a number where I can reach you?|Can I call you about the test?]
            A: [Yes, {phone}.|It's {phone}.]
        """)
    s.close("A", "P")
    _vet_summaries(s)


def _vet_summaries(s: Scene) -> None:
    s.put(money="for {p1}")
    s.summarise("""
        - {A.poss} {pet} {name} {trouble} because of {cause}. {P} [prescribes|gives] {med} for {p1}, and they will
          come [back|again] on {day} at {t}.
        - {A} [takes|brings] {A.his} {pet} {name} to {P}, who finds {cause}. [The treatment is|{A} gets] {med} {how}
          for {n2} days, {money}.
        - {P} [finds out|discovers] that {A.poss} {pet} {name} has {cause}, not {guess}. {A} [chooses|agrees to] {med}
          {money} and will return on {day} at {t}.
        - {A} is worried [because|since] {name} the {pet} {trouble}. It is {cause}, and {P} recommends {med} {how} for
          {n2} days. {day} at {t} is the next visit.
        - {name}, {A.poss} {pet}, has {cause}. [It needs|The animal needs] {med} {how} for {n2} days {money}, with [a
          check|another visit] on {day} at {t}.
        - {P} treats {A.poss} {pet}, which {trouble}. [The cause is|It turns out to be] {cause}, so {A} buys {med}
          {money} and comes back on {day}.
    """)
    s.topic("a sick {pet}|a {pet} at the vet|a visit to the vet|treating a {pet}")
