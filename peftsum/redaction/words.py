"""Lists of words for the detectors."""

from __future__ import annotations

ROLES = frozenset(
    """
    agent all assistant boss bot boy brother buyer callee caller cashier chair chef clerk client clinician customer
    dad daughter doctor dr driver employee everyone father female girl guest guest_family guide host husband
    interviewee interviewer judge landlord lawyer male man manager marketing moderator mom mother mum narrator nurse
    officer operator others passenger patient person pharmacist physician policeman professor receptionist reporter
    salesman saleswoman secretary seller service shopkeeper sister son speaker student support system teacher tenant
    therapist tutor unknown user waiter waitress wife woman
    """.split()
)
"""What a speaker's label says where it is no name."""

TITLES = frozenset(
    """
    dr frau herr madam miss mme mr mrs ms prof sir sr sra
    """.split()
)
"""What stands before a name and is none."""

NOT_NAMES = frozenset(
    """
    a absolutely according actually afraid again ah all alright also always america american an and anyway april are
    at august babe believe boss british buddy busy but by bye calling can certainly china chinese christ christmas
    congratulations cool could dad daddy darling dear december did do doctor does dr dude easter england english er
    europe everybody everyone exactly facebook february fine folks for france french friday from german germany glad
    god going good good-bye goodbye google grandma grandpa great guys had haha happy has have he hello her here here's
    hey hi his hmm honey hotel how i in india internet is it italian italy january japanese jesus july june just let
    lol london lord ma'am madam mama man march may maybe miss mom mommy monday mr mrs ms mum my net never new nice no
    nope not november now nurse october of officer oh ok okay on or our papa paris please pls prof professor ready
    really right sad saturday september she should sir so sorry spain spanish speaking sunday sure sweetheart sweetie
    teacher thank thanks that the their then there these they this those thursday to today tomorrow tonight too
    tuesday tv uh uk um us usa waiter was we wednesday welcome well were what when where who why will with would wow
    yeah yep yes york you your
    """.split()
)
"""Words with a capital that stand where a name could."""

ALSO_WORDS = frozenset(
    """
    amber april art august baker bill black brown bush carol carter chase christian cook crystal daisy dawn dean dick
    don drew earl eve faith fisher frank gay gene grace grant gray green guy hazel heather holly hope hunter iris ivy
    jack jade jay jean jo josh joy june king kitty lance lee les lily long lot mark mason max may mercy mike miles
    nick norm olive page paige pat pearl penny price ray rice rob robin rose ruby rusty sandy sky stone sue summer
    taylor tom tony van victor violet wade white will woody young
    """.split()
)
"""Names that are words, too: they count with a capital alone."""

STATES = frozenset(
    """
    AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH OK OR
    PA RI SC SD TN TX UT VA VT WA WI WV WY
    """.split()
)
"""Of the United States, as postcodes have them."""

NOT_STREETS = frozenset(
    """
    a across along an and are at big block blocks bucks cars day days dollars door doors down feet floor floors from
    hour hours house houses in is km lanes lots meter meters metres mile miles min mins minute minutes month months
    more new of off on or other people shops stores the times to trees up was way week weeks yards year years
    """.split()
)
"""Words between a number and "street" in plain speech (5 minutes down the road)."""

NOT_LOCAL = frozenset(
    """
    a and are at back be bought buy check er find found her here him his home is it like look looking me meet meeting
    my off on one or order ordered out saw see shop shopping so stay stayed that the them there this uh um up us was
    well were work works you your
    """.split()
)
"""Words before "at" that are no part of an e-mail address."""
