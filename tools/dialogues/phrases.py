"""Greetings, farewells, fillers and side talk that carry none of a dialogue's facts.

An exchange is `X: text / Y: text`; side talk has an even number of turns, so that it fits between two core turns.
"""

from __future__ import annotations

FILLERS = ("Right.", "Hmm.", "Okay.", "Well...", "Let me think.", "Um...")

HELLOS = {
    "friend": "[Hey{,Y}.|Hi{,Y}.|Hello{,Y}.|Listen{,Y}.|Oh, good that you're here{,Y}.]",
    "group": "[Hi everyone.|Hello all.|Listen, everybody.|Okay, folks.]",
    "service": "[Hello{,Y}.|Good morning{,Y}.|Good afternoon{,Y}.|Hi there.]",
}

OPENERS: dict[str, tuple[str, ...]] = {
    "friend": (
        "X: Hey{,Y}, [have you got a minute|do you have a second|are you busy right now]? / "
        "Y: [Sure, what's up?|Of course, what is it?|Not really. Go ahead.|For you, always.]",
        "X: There you are{,Y}! [I've been looking for you everywhere.|I was just about to text you.] / "
        "Y: [Hi{,X}! What's going on?|Sorry, I only just got in. What is it?]",
        "X: Hi{,Y}! [How are things?|How's it going?|How are you?] / "
        "Y: [Not bad, thanks.|A bit tired, but fine.|Oh, busy as ever.] [And you?|What about you{,X}?] / "
        "X: [Fine, thanks.|Can't complain.|I'm all right.]",
        "X: [Morning{,Y}!|Good morning{,Y}.] [Did you sleep well?|You look tired.] / "
        "Y: [So-so. I need another coffee.|Not enough, as usual.] [What's up?|What's on your mind?]",
        "X: [Hello{,Y}.|Hi{,Y}, it's only me.] [Is this a bad time?|Can we talk?|Am I disturbing you?] / "
        "Y: [No, no, go on.|Not at all.|I've got five minutes. Tell me.]",
        "X: [You won't believe this{,Y}.|Okay{,Y}, I need your advice.|Can I ask you something{,Y}?] / "
        "Y: [I'm listening.|Uh-oh, what happened?|Go on then.]",
        "X: [Long time no see{,Y}!|It's been ages{,Y}!] / Y: [I know, it's been crazy lately.|Too long! You look "
        "well.]",
    ),
    "group": (
        "X: [Hi everyone.|Hello all.|Hey, you lot.] [Is everybody here?|Can we sort this out quickly?|Have you "
        "all got a "
        "moment?] / Y: [Yes, we're all ears.|I think so. Go ahead.|Fire away.|Sure, I'm listening.]",
        "X: [Right, is that everybody?|Okay, are we all here?] / "
        "Y: [Looks like it.|Yes, at last.|Seems so. Sorry I'm late, by the way.]",
        "X: [Good to see you all!|It's so nice that we're all together.] / "
        "Y: [You too{,X}!|It's been too long.|Likewise. Is there any coffee left?]",
        "X: [So, where do we start?|Okay, who wants to begin?|Well, shall we get going?] / "
        "Y: [You tell us{,X}.|Why don't you start{,X}?|Let's just begin.]",
    ),
    "phone": (
        "X: [Good morning|Good afternoon|Hello], [how can I help you|what can I do for you]? / "
        "Y: Hello. [I hope you can help me.|I really need your help.] / X: [I'll do my best.|Certainly, go "
        "ahead.|Sure, tell me.]",
        "X: [Good morning|Good afternoon|Hello], [how can I help you|what can I do for you]? / "
        "Y: [Hello.|Oh, hello.] [Am I talking to the right person?|I'm not sure if you're the right person to ask.] / "
        "X: [I think so. Tell me.|Let's see. What is it about?]",
        "X: [Thank you for calling|Thanks for waiting]. [What can I do for you today?|How can I help?] / "
        "Y: [Oh, finally. I've been on hold for ages.|Hello. The music on your line goes on and on.] / "
        "X: [I'm sorry about that. Tell me.|My apologies. What can I do?]",
        "X: [Good morning|Good afternoon|Good evening]. [Just a moment, please... Right, go ahead.|Thank you for "
        "waiting.] / "
        "Y: [Hello.|Oh, hi.] [Thanks for picking up so quickly.|I've got a question, if that's all right.] / "
        "X: [Of course.|Please, go on.|By all means.]",
        "X: [Hello|Good morning], who's calling, please? / Y: [Hello, it's {Y.full}.|Hello, my name's {Y.full}.] / "
        "X: [Nice to hear from you. What is it about?|Hello, what can I do for you?]",
    ),
    "desk": (
        "X: [Good morning.|Good afternoon.|Hello there.] [Can I help you?|Are you being served?|Who's next, please?] / "
        "Y: [Yes, please.|Yes, that's me.|I hope so.] / X: [What can I do for you?|How can I help?|Tell me.]",
        "X: [Next, please!|Thanks for waiting.] [Sorry about the queue.|It's one of those days.] / "
        "Y: [No problem.|That's all right.|It's quite busy today, isn't it?]",
        "Y: [Excuse me|Sorry], could you [help me|spare me a minute]? / X: [Yes, of course.|I am. What can I do "
        "for you?|Certainly. What's the matter?]",
    ),
    "work": (
        "X: [Morning{,Y}.|Hi{,Y}.] [Have you got five minutes?|Do you have a moment?|Is now a good time?] / "
        "Y: [Sure, have a seat.|Yes, come in.|Just let me save this. Okay.]",
        "X: [Thanks for coming in{,Y}.|Thanks for making time{,Y}.] / Y: [No problem.|Of course, happy to.|Sure "
        "thing.]",
        "X: [Knock, knock.|Sorry to bother you{,Y}.] [Am I interrupting?|Can I come in?] / "
        "Y: [Not at all.|No, I was about to take a break anyway.]",
    ),
    "welcome": (
        "X: [Good morning|Good afternoon|Hello]{,Y}. [Please come in.|Do take a seat.|Thank you for coming.] / "
        "Y: [Thank you{,X}.|Thanks for seeing me so soon.|Thank you. It's nice to be here.]",
        "X: [Hello{,Y}, nice to meet you.|Good to see you{,Y}.] [Did you find us all right?|I hope you didn't "
        "wait long.] / "
        "Y: [It was fine, thanks.|The traffic was terrible, but I made it.|No problem at all.]",
    ),
    "visit": (
        "X: [Good morning|Good afternoon|Hello]{,Y}. [Please come in.|Do take a seat.|Please sit down.] / "
        "Y: [Thank you.|Thanks{,X}.] / X: [So, what brings you here?|How are we today?|What can I do for you?]",
        "X: [Hello{,Y}, nice to meet you.|Good to see you{,Y}.] [Did you find us all right?|I hope you didn't "
        "wait long.] / "
        "Y: [Yes, thank you.|It was fine, thanks.|The traffic was terrible, but I made it.]",
    ),
}

CLOSERS: dict[str, tuple[str, ...]] = {
    "friend": (
        "X: [Great, thanks a lot{,Y}.|You're the best{,Y}.] / Y: [No problem.|Any time.|Don't mention it.]",
        "X: [Perfect.|Brilliant.] [Talk to you later.|See you then.] / Y: [Bye{,X}!|See you!|Take care.]",
        "X: [I owe you one.|That's a relief.] / Y: [Ha, I'll remind you of that.|What are friends for?]",
        "X: [I'd better run.|I have to go now.] [See you soon{,Y}.|Bye!] / Y: [Okay, bye.|See you{,X}.]",
    ),
    "group": (
        "X: [Great, that's settled then.|Good, I think that's everything.] / Y: [Finally!|Well done, "
        "everybody.|Cheers to that.]",
        "X: [So that's the plan.|Good, then we all know what to do.] / Y: [I'm looking forward to it.|That was "
        "easier than I thought.]",
        "X: [All right, I have to dash.|I'm off, then.] / Y: [See you soon.|Bye{,X}!]",
    ),
    "service": (
        "X: [Thank you so much.|Thanks for your help.] / Y: [You're welcome.|My pleasure.] [Have a nice day.|Goodbye.]",
        "X: [That's great, thanks.|Perfect, thank you.] [Bye.|Goodbye.] / Y: [Goodbye.|Bye, and have a good day.]",
        "X: [That's all I needed.|That's everything, then.] / Y: [Then have a lovely day.|Great. Take care.]",
    ),
    "work": (
        "X: [Thanks{,Y}.|Great, thanks for your time.] / Y: [Sure.|You're welcome.|Good luck with it.]",
        "X: [Good, I'll put that in writing.|All right, I'll get to it.] / Y: [Perfect.|Sounds good.|Thanks{,X}.]",
    ),
}

PREAMBLES = (
    "[It's a bit of a long story, but I'll keep it short.|I'll come straight to the point.|Well, where shall I begin?]",
    "[Just so that we don't waste any time:|I hope this won't take long.|Let's get right to it.]",
)
# only among people who know each other
FAMILIAR_PREAMBLES = (
    "[I've been meaning to bring this up for days.|I'm glad we finally have a moment for this.|I'd rather sort "
    "this out today.]",
)
ASIDES = (
    "[Let me write that down.|I'm making a note of all this.|I'm writing this down as we speak.]",
    "[Sorry, it's been a long day.|Sorry, I'm a bit tired today.|Sorry, my head's like a sieve these days.]",
    "[Sorry, I'm talking too fast.|Tell me if I'm too fast.|Stop me if I'm too fast.]",
    "[Excuse me, I had to cough.|Sorry, I've got a bit of a cold.|Sorry, my voice isn't what it was.]",
)

_ANYONE = (
    "X: Sorry, [somebody's at the door. One second.|could you give me a second?] / Y: [Take your time.|No worries.]",
    "X: [What's that noise?|Can you hear that?] / Y: [They're digging up the road again.|Only the radio next door.]",
    "X: [Sorry, could you say that again?|Sorry, I didn't catch that.] / Y: [Never mind, it wasn't important.|I "
    "only said "
    "it's been a long week.]",
    "X: [What awful weather we're having!|And all this rain these days!] / Y: [I know, and I left my umbrella on "
    "the bus.|It's "
    "supposed to clear up tonight.]",
)
_IN_PERSON = (
    *_ANYONE,
    "X: [It's getting quite warm in here.|Is it cold in here or is it just me?] / Y: [I'll see to the "
    "window.|It's the heating, it "
    "does what it likes.]",
    "X: [Sorry, my phone's ringing. I'll just switch it off.|Sorry, I thought I'd switched my phone off.] / Y: "
    "[No problem.|It's "
    "all right, mine does that too.]",
)
_STAFF = (
    "X: [Bear with me, the system's slow today.|One moment, the computer's thinking.] / Y: [No rush.|Take your "
    "time.|That's fine, I'm "
    "in no hurry.]",
    "X: [Sorry, I'm new here.|Excuse me, it's my first week.] / Y: [You're doing fine.|We all have to start "
    "somewhere.]",
    "X: Have you been with us before? / Y: [Yes, for years, actually.|No, you were recommended to me.]",
    "X: [It's been a crazy day.|We're short of staff today.] / Y: [I can imagine.|You'll have earned your evening.]",
    "X: [Is there anything else I should know?|Anything else before I go on?] / Y: [No, I don't think so.|Not "
    "that I can think of.]",
    "X: [May I ask how you heard about us?|How did you hear about us, if I may ask?] / Y: [From a friend.|I saw "
    "your sign in the "
    "street.] / X: [That's always nice to hear.|Good to know.] / Y: [Word gets around.|Well, here I am.]",
    "X: [Sorry, I've opened the wrong file.|Oh, that's somebody else's form.] / Y: [It happens.|No harm done.] / "
    "X: [There, now I've "
    "got it.|Right, that's better.] / Y: [Good.|Well done.]",
)
_STAFF_ON_THE_PHONE = (
    "X: [I'll have to put you on hold for a second.|Just a moment, a colleague needs me.] / Y: [Okay.|Sure, I'll "
    "wait.] / X: [Thank you "
    "for your patience.|Sorry about that.] / Y: [That was quick.|No problem.]",
    "X: [The line isn't very good, I'm afraid.|I can hardly hear you.] / Y: [Sorry, is this better?|I'll speak up.]",
    "X: [Are you still there?|Hello? Are you still on the line?] / Y: [Yes, I'm here.|I am. I just moved into "
    "another room.]",
)
_STAFF_AT_THE_DESK = (
    "X: [Let me just find a pen.|My pen's stopped working, sorry.] / Y: [Here, use mine.|It's always the way.]",
    "X: [Did you come far?|Do you live nearby?] / Y: [No, just round the corner.|It's not too far, luckily.]",
    "X: [Please mind the box there.|Careful, the floor's still wet.] / Y: [Oh, thanks.|Thank you, I hadn't seen that.]",
)
_CUSTOMER = (
    "X: [You must hear this all day.|I bet you hear this a lot.] / Y: [You'd be surprised.|All part of the job.]",
    "X: [Hold on, let me find my glasses.|One second, I need my glasses.] / Y: [Of course.|No problem, I'll wait.]",
    "X: [I've been so busy, I nearly forgot about this.|I should have done this days ago.] / Y: [That happens to "
    "everyone.|Better late "
    "than never.]",
    "X: [Your colleague was very friendly last time.|I must say everyone's very kind here.] / Y: [I'll pass that "
    "on, thank you.|That's "
    "lovely to hear.]",
    "X: [I'm not very good at this sort of thing.|I always get nervous about these things.] / Y: [There's no "
    "need.|You're doing very "
    "well.] / X: [You're kind.|Thank you.] / Y: [Not at all.|So, let's go on.]",
    "X: [How long have you been doing this job?|Have you worked here long?] / Y: [Nearly ten years, if you can "
    "believe it.|Since the "
    "spring.] / X: [I couldn't do it.|That's impressive.] / Y: [You get used to it.|It never gets boring.]",
)
_CUSTOMER_ON_THE_PHONE = (
    "X: [Sorry, my little one is crying in the background.|Sorry, there's a lot of noise here.] / Y: [Don't "
    "worry, I've got children "
    "too.|That's quite all right.]",
    "X: [Excuse me, I'm on the train, I may lose you.|My battery's nearly empty, by the way.] / Y: [I'll be "
    "quick, then.|I'll call you "
    "back if we get cut off.]",
)
_CUSTOMER_AT_THE_DESK = (
    "X: [Is it always this busy?|Is it always so quiet here?] / Y: [Only in the mornings.|It depends on the weather.]",
    "X: [What a lovely plant you have there.|I like that picture on the wall.] / Y: [Thank you, it's my "
    "colleague's.|It came with the "
    "building.]",
)
_FORMAL = (
    "X: [Would you like a glass of water?|Can I get you some water?] / Y: [Yes, please.|No thanks, I'm fine.]",
    "X: [Did you come far?|Do you live nearby?] / Y: [No, just round the corner.|It's not too far, luckily.]",
    "X: [That's a lovely view from here.|It's so quiet in this street.] / Y: [Isn't it?|Yes, I like that too.]",
    "X: [Was it hard to find a parking space?|Did you come by bus?] / Y: [I walked, actually.|I came on my "
    "bike.] / X: [Very sensible.|"
    "That's the best way in this town.] / Y: [I think so too.|It keeps me fit.]",
    "X: [I'm sorry I kept you waiting before.|I do apologise for the mess.] / Y: [It's quite all right.|Please "
    "don't worry.]",
    "X: [Excuse me, I just need to find a pen.|One moment, where did I put my notes?] / Y: [Here, use mine.|Take "
    "your time.]",
    "X: [Shall I go on?|Is everything clear so far?] / Y: [Yes, please go on.|Yes, so far.]",
    "X: [How long have you been in this town?|Have you lived here long?] / Y: [Nearly ten years now.|Since last "
    "spring.] / X: [Do you "
    "like it?|And do you feel at home?] / Y: [Yes, very much.|More and more.]",
    "X: [It's been a busy week.|I've had quite a day.] / Y: [I can imagine.|I know that feeling.]",
    "X: [You've got a very nice scarf, if I may say so.|I like your jacket.] / Y: [Oh, thank you.|That's kind of you.]",
)
SIDE_TALK: dict[str, tuple[str, ...]] = {
    "friend": (
        *_IN_PERSON,
        "X: [By the way, did you watch the match last night?|Did you see the game, by the way?] / Y: [Don't ask. "
        "My team lost "
        "again.|No, and please don't tell me the score.] / X: [I won't say a word.|All right, no football "
        "today.] / Y: [Thank "
        "you. Where were we?|Good. Back to business.]",
        "X: [I'm starving, by the way.|I skipped breakfast, and now I'm hungry.] / Y: [There are some biscuits "
        "in the kitchen.|Me "
        "too. Let's get something afterwards.]",
        "X: [Have you had your hair cut?|Is that a new jacket?] / Y: [Yes! You're the first to notice.|I have. "
        "Do you like it?] "
        "/ X: [It really suits you.|I do, very smart.] / Y: [Aw, thanks.|You're too kind.]",
        "X: [How's your back, by the way?|Is your cold any better?] / Y: [Much better, thanks for "
        "asking.|Getting there, "
        "slowly.]",
        "X: [How's work these days?|How are things at work?] / Y: [Exhausting, but I like my colleagues.|It's "
        "all right, I'm "
        "still learning.] / X: [That's what counts.|Give it time.] / Y: [True. Sorry, I'm wandering off.|I "
        "suppose so. Anyway.]",
        "X: [I saw your mum at the market the other day.|I bumped into your cousin last week.] / Y: [Oh, really? "
        "She never "
        "mentioned it.|Small world!]",
        "X: [Have you finished that book I lent you?|Did you ever finish that series?] / Y: [Almost. Don't tell "
        "me the ending!|"
        "No, I keep falling asleep.] / X: [My lips are sealed.|You're hopeless.] / Y: [I'll get there in the "
        "end.|Ha, I know.]",
        "X: [Do you want some tea?|Coffee?] / Y: [Yes, please. Milk, no sugar.|No thanks, I've already had three.]",
        "X: [The cat's sitting on my papers again.|Hang on, the dog wants to go out.] / Y: [Ha, give him a "
        "stroke from me.|He "
        "clearly runs the house.]",
        "X: [Sorry, I was miles away.|Sorry, I lost the thread.] / Y: [That's all right, it happens to me "
        "too.|You really need "
        "a holiday.]",
        "X: [The bus was packed this morning.|I was stuck in traffic for ages today.] / Y: [That's why I "
        "cycle.|It's like that "
        "every day now.]",
        "X: [Are the kids all right?|How are the little ones?] / Y: [Loud as ever, thanks.|Fine, they've got the "
        "day off.]",
        "X: [I've started running again, believe it or not.|I've joined a gym.] / Y: [You? I'm impressed.|Good "
        "for you. I "
        "should do that too.] / X: [Ask me again in a month.|My knees aren't so sure.] / Y: [Don't give up!|Ha, "
        "I will.]",
        "X: [I hardly slept last night.|I've slept so badly this week.] / Y: [It must be the full moon.|Poor "
        "you. Was it the heat?]",
        "X: [I'm trying to give up chocolate.|I've given up sugar, by the way.] / Y: How's that going? / X: "
        "[Terribly.|I've had "
        "better weeks.] / Y: [Ha, that's what I thought.|Good luck with that.]",
        "X: [My laptop's so slow these days.|My phone's dying again.] / Y: [You can borrow my charger.|Have you "
        "tried turning "
        "it off and on?]",
        "X: [Did you hear the news this morning?|Have you seen the paper?] / Y: [No, I've stopped reading it.|Only the "
        "headlines.]",
    ),
    "staff on the phone": (*_ANYONE, *_STAFF, *_STAFF_ON_THE_PHONE),
    "staff at the desk": (*_IN_PERSON, *_STAFF, *_STAFF_AT_THE_DESK),
    "customer on the phone": (*_ANYONE, *_CUSTOMER, *_CUSTOMER_ON_THE_PHONE),
    "customer at the desk": (*_IN_PERSON, *_CUSTOMER, *_CUSTOMER_AT_THE_DESK),
    "formal": (*_IN_PERSON, *_FORMAL),
    "work": (
        *_IN_PERSON,
        "X: [Has anyone seen my mug?|Who's taken my chair?] / Y: [Check the kitchen.|Ask the interns.]",
        "X: [The printer's jammed again.|The lift's out of order again.] / Y: [I'll call someone.|As always on a "
        "Monday "
        "morning, even when it isn't Monday.]",
        "X: [How was your weekend, by the way?|Did you have a nice weekend?] / Y: [Too short.|Lovely, we went to "
        "the lake.] / X: "
        "[Same here.|Sounds good.] / Y: [Anyway, let's carry on.|Back to work, I suppose.]",
        "X: [I need another coffee.|Is there any coffee left?] / Y: [There's a fresh pot next door.|The "
        "machine's broken, sorry.]",
        "X: [The new canteen isn't bad, is it?|Have you tried the new canteen?] / Y: [The soup is quite "
        "good.|Not yet, I bring "
        "sandwiches.]",
        "X: [Sorry, I've got so many tabs open.|Hang on, my screen's frozen.] / Y: [Take your time.|Story of my life.]",
        "X: [My inbox is a nightmare.|I've got a hundred unread messages.] / Y: [Just delete them.|Only a hundred?]",
        "X: [Are you going to the summer party?|Are you coming to the office party?] / Y: [If I'm done by "
        "then.|I wouldn't miss "
        "it.] / X: [Last year was fun.|I heard there'll be a band.] / Y: [Let's hope it doesn't rain.|Now I'm "
        "looking forward "
        "to it.]",
        "X: [Did you get the message about the car park?|Have you seen the memo about the windows?] / Y: [No, I "
        "never read those.|"
        "Yes, very exciting.]",
        "X: [I've got a bit of a headache.|My eyes are killing me.] / Y: [You should take a break after "
        "this.|It's these "
        "lights.]",
        "X: [It's somebody's birthday, there's cake in the kitchen.|There's cake in the kitchen, by the way.] / "
        "Y: [Save me a "
        "piece.|Now you tell me!]",
    ),
}
