"""Lost luggage and bank cards."""

from __future__ import annotations

from .. import values
from ..people import pool
from ..scene import Scene

BAGS = pool(
    "a red suitcase, a black rucksack, a blue travel bag, a green suitcase, a brown leather case, a grey "
    "holdall, a silver suitcase, "
    "a guitar case, a yellow backpack",
    "a purple trunk, a cello case, a checked duffel bag",
)


def luggage(s: Scene) -> None:
    """A passenger reports a missing bag."""
    s.register = "service"
    s.person("P", role=s.pick(("Agent", "Airline agent", "Clerk")))
    s.person("A")
    c1, c2, c3 = s.several(values.CITIES, 3)
    t1, t2 = values.times(s.rng, 8, 14, 1) + values.times(s.rng, 16, 21, 1)
    s.put(
        bag=s.pick(BAGS),
        c1=c1,
        c2=c2,
        c3=c3,
        t1=t1,
        t2=t2,
        flight=s.pick(("BX", "NV", "QK", "TR")) + str(s.rng.randint(102, 987)),
    )
    s.put(
        hotel=s.pick(
            (
                "Hotel Astor",
                "the Park Hotel",
                "Hotel Central",
                "the Riverside Inn",
                "the Station Hotel",
                "Hotel Miramar",
            )
        )
    )
    s.put(mark=s.pick(("a yellow ribbon on the handle", "a sticker of a whale", "a name tag", "a white stripe")))
    s.put(
        inside=s.pick(
            (
                "my medicine",
                "my suit for a wedding",
                "my laptop charger",
                "all my winter clothes",
                "presents for my family",
            )
        )
    )
    s.put(insides=s.facts["inside"].replace("my ", "{A.his} "), d=s.pick(("tomorrow", "on " + s.pick(values.WEEKDAYS))))
    s.put(
        phone=s.phone(),
        email=s.email("A"),
        address=s.address(),
        ref=values.code(s.rng, "LB", 5),
        pay=s.money(60, 180, 10),
    )
    s.open("P", "A", "desk")
    s.talk("""
        A: [My luggage didn't arrive.|I've been waiting at the belt for an hour, and my bag isn't there.] [I came from
        {c1} on flight {flight}.|I was on {flight} from {c1}.]
        P: [I'm sorry about that.|Oh no, I'm sorry.] [Can you describe it?|What does it look like?]
        A: [It's {bag} with {mark}.|{bag}, with {mark}.]
        --
        P: [Let me check...|One moment, I'll look it up.] [It seems your bag was sent to {c3}.|It's in {c3}, I'm
        afraid.]
        A: [In {c3}? You must be joking.|How did it end up in {c3}?] [I need {inside}!|It's got {inside} in it!]
    """)
    home = s.chance(0.4)
    s.put(place="{address}" if home else "{hotel}")
    if home:
        s.put(placed="[{A.his} home|{A.his} home address|{A.his} address]")
    else:
        s.put(placed="{hotel}", address="")
    s.talk("""
        P: [It will be on the next plane.|They'll put it on the next flight.] [You can pick it up here at {t1}
        {d}.|It'll be here at {t1} {d}.]
    """)
    if s.chance(0.8):
        s.talk(
            """
            A: [I can't come back here.|I won't come all the way back for it.] [Can't you deliver it?|Could somebody
            bring it to me?]
            P: [Yes, we can deliver it {d}, at {t2}.|Of course. The courier could be there at {t2} {d}.] [What's the
            address?|Where are you staying?]
            A: [It's {place}.|{place}, please.]
        """
        )
        s.put(
            end="[it will be delivered to {to} at {t2} {d}|a courier will bring it to {to} at {t2} {d}|it will "
            "be taken to {to} {d} at {t2}]"
        )
        s.put(to=s.facts["placed"])
    else:
        s.talk("A: [Fine, I'll come back at {t1} then.|All right, I live close by anyway. I'll be back at {t1}.]")
        s.put(
            end="[{A} can collect it at {t1} {d}|{A} will come back for it at {t1} {d}|{A} will pick it up {d} at {t1}]"
        )
    s.talk("--")
    if s.chance(0.45):
        s.talk("""
            P: [And how can we reach you?|Could you leave a number or an e-mail address?]
            A: [My number is {phone}.|You can write to {email}.|It's {phone}, or write to {email}.]
        """)
    s.put(extra="")
    if s.maybe():
        s.talk("""
            A: [And what about tonight? I have nothing to wear.|Do I get anything for the trouble?]
            P: [You can spend up to {pay} on what you need.|Keep your receipts. We pay up to {pay}.]
        """)
        s.put(extra="[. The airline pays up to {pay} for what {A} needs|. Up to {pay} of expenses will be paid|]")
    if s.maybe():
        s.talk("""
            --
            P: [Here's your reference: {ref}.|Your report has the number {ref}.]
            A: [Thanks. I hope it really turns up.|Let's hope for the best.]
        """)
    s.close("A", "P")
    s.summarise("""
        - {A} [reports|tells {P}] that {A.his} luggage from {c1} [is missing|did not arrive]. [It was sent to {c3} by
          mistake|It is in {c3}], and {end}{extra}.
        - {A.poss} bag, {bag}, [has ended up|is] in {c3} instead of arriving from {c1}. {P} [says|promises] that
          {end}{extra}.
        - {P} [finds out|sees] that {A.poss} missing luggage is in {c3}. [It is {bag} with {mark}|It contains
          {insides}], and {end}.
        - [After a flight from {c1}|After flight {flight}], {A} cannot find {bag} [with {insides}|with {mark}]. {P}
          finds it in {c3}, and {end}.
        - {A} [is upset|complains], because {bag} with {insides} was [sent|taken] to {c3}. [In the end,|Finally,]
          {end}{extra}.
        - {A.poss} [bag|luggage] was lost on flight {flight} [from {c1}|]. {P} [locates|finds] it in {c3}, and {end}.
    """)
    s.put(bagl=s.facts["bag"].split(" ", 1)[1], c3l=c3.lower())
    s.topic("lost luggage|a missing {bagl}|luggage sent to {c3l}|a bag that's missing")


def bank(s: Scene) -> None:
    """A customer's card is blocked, lost or charged wrongly."""
    s.register = "service"
    s.person("P", role=s.pick(("Agent", "Bank clerk", "Adviser")))
    s.person("A")
    s.put(
        card=s.secret(values.card(s.rng)), iban=s.secret(values.iban(s.rng)), birth=s.secret(values.birth_date(s.rng))
    )
    n1, n2 = s.pick(("six", "seven", "eight", "ten")), s.pick(("two", "three", "four"))
    s.put(
        n1=n1,
        n2=n2,
        day=s.pick(values.WEEKDAYS),
        sum=s.money(80, 900),
        shop=s.pick(("a petrol station", "an online shop", "a jeweller's", "a ticket office", "a department store")),
    )
    s.put(
        city=s.pick(values.CITIES),
        place=s.pick(("on the bus", "at the market", "at the gym", "in a taxi", "at the swimming pool", "in a café")),
    )
    s.put(address=s.address(), fee=s.money(5, 25), branch=s.pick(values.STREETS))
    kind = s.pick(("blocked", "lost", "fraud"))
    s.open("P", "A", "phone")
    if kind == "blocked":
        s.talk("""
            A: [My card doesn't work any more.|The machine has refused my card.] [I think I typed the wrong PIN too
            often on {day}.|I mixed up my PINs on {day}, and that was that.]
        """)
        s.put(
            problem="{A.his} card [is blocked|has been blocked] after wrong PINs on {day}",
            topic1="a blocked bank card|a forgotten pin|a card that's blocked",
        )
    elif kind == "lost":
        s.talk("""
            A: [I've lost my bank card.|My card's gone.] [I must have left it {place} on {day}.|I last had it {place},
            on {day}.]
            P: [Has anyone used it since?|Have you seen any strange payments?]
            A: [Not that I know of.|No, I've checked.]
        """)
        s.put(
            problem="{A.he} lost {A.his} card {place} on {day}",
            topic1="a lost bank card|losing a card|replacing a lost card",
        )
    else:
        s.talk("""
            A: [There's a payment on my account that isn't mine.|Somebody has used my card!] [It's {sum} at {shop} in
            {city}, on {day}.|On {day}, {sum} went to {shop} in {city}.]
            P: [And you weren't in {city} on {day}?|Could anyone in your family have done that?]
            A: [I've never been to {city} in my life.|Certainly not.]
        """)
        s.put(
            problem="somebody paid {sum} at {shop} in {city} with {A.his} card",
            topic1="an unknown card payment|card fraud|a stolen card number",
        )
    s.talk("--")
    how = s.pick(("card", "iban", "birth", "none"))
    if how == "card":
        s.talk("""
            P: [Could you read me the card number?|What's the number on the card?]
            A: [It's {card}.|{card}.|One moment... {card}.]
        """)
    elif how == "iban":
        s.talk("""
            P: [What's your account number?|May I have your IBAN?]
            A: [Yes, it's {iban}.|{iban}.]
        """)
    elif how == "birth":
        s.talk("""
            P: [I need your date of birth for security.|For security, when were you born?]
            A: [{birth}.|On {birth}.]
        """)
    else:
        s.talk("""
            P: [Could you answer your security question, please?|Please type your security code now.]
            A: [Of course. Done.|One second. There.]
        """)
    s.talk("""
        P: [Thank you. I'll stop the card now and send you a new one.|Right, I've blocked it. You'll get a new card by
        post.] [It takes about {n1} days.|It should be there in {n1} days.]
        A: [{n1} days? I'm going away before that.|That's too long for me, I need money now.] [Is there another
        way?|Can't it be faster?]
    """)
    fast = s.chance(0.5)
    if fast:
        s.talk("""
            P: [We can send it by courier in {n2} days, for {fee}.|For {fee}, a courier brings it in {n2} days.]
            A: [{n2} days is no use either.|That's not much help.] [Could I pick one up?|Can I come to a branch?]
        """)
    s.talk("""
        P: [You can collect one at our branch in {branch} tomorrow.|The branch in {branch} could print one by
        tomorrow.]
        A: [Then I'll do that.|That's much better, I'll go there.]
        --
    """)
    s.put(extra="")
    if s.maybe():
        s.talk("""
            P: [Please bring your passport.|Don't forget your ID.]
            A: [I will.|Sure.]
        """)
        s.put(extra="[, with {A.his} ID|]")
    if kind == "fraud":
        s.talk("""
            A: [And do I get the {sum} back?|What about the {sum}?]
            P: [Yes, we'll pay it back next week.|You'll have it back by next week.]
        """)
        s.put(back="[. The {sum} will be paid back|. The bank will pay {sum} back|]")
    else:
        s.put(back="")
    s.close("A", "P")
    s.summarise("""
        - {A} [tells {P}|reports] that {problem}. {A.he} [will collect|can collect] a new card at the branch in
          {branch} tomorrow{extra}{back}.
        - {A} [calls the bank|phones the bank], as {problem}. {P} [offers|orders] a new card, and {A} will [pick
          up|collect] one in {branch} tomorrow{back}.
        - {P} [replaces|has to replace] {A.poss} card because {problem}. [Waiting {n1} days is too long|{n1} days are
          too long], so {A} will [get|fetch] it from the branch in {branch}{extra}.
        - [Because|As] {problem}, {A} needs a new card. [The post takes {n1} days|It would take {n1} days by post], so
          {A.he} will go to the branch in {branch} tomorrow{extra}.
        - {A} needs a new bank card [quickly|soon] because {problem}. {P} [sends {A.him}|tells {A.him} to go] to the
          branch in {branch} [the next day|tomorrow]{back}.
        - {A} will [get|collect] a new bank card in {branch} tomorrow instead of waiting {n1} days for it. [The reason
          is that|It is needed because] {problem}{back}.
    """)
    s.topic(s.facts["topic1"])
