"""Names of speakers and of people spoken about, with a part reserved to the test split."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pool:
    """Values to draw from; `reserved` ones appear in the test split only, so that copying is tested."""

    common: tuple[str, ...]
    reserved: tuple[str, ...] = ()


def pool(common: str, reserved: str = "") -> Pool:
    """Make a pool from comma-separated values."""
    return Pool(
        tuple(value.strip() for value in common.split(",")),
        tuple(value.strip() for value in reserved.split(",") if value.strip()),
    )


WOMEN = pool(
    "Anna, Maria, Sophie, Emma, Julia, Laura, Nina, Clara, Helen, Ruth, Priya, Mei, Fatima, Leila, Ingrid, "
    "Carmen, Rosa, "
    "Tess, Olivia, Grace, Hannah, Zoe, Megan, Diane, Paula, Vera, Irene, Naomi, Sandra, Kate, Lucy, Amy, Monica, "
    "Elena, "
    "Wendy, Joan, Alice, Beth, Carol, Donna, Farah, Gina, Holly, Jenny, Karen, Linda, Molly, Nora, Pam, Rachel, Sarah, "
    "Tara, Yuki, Amina, Bianca, Chloe, Daria, Esther, Freya, Greta",
    "Odette, Saskia, Thandi, Marisol, Yasmin, Birgit, Calista, Delphine, Noor, Philippa, Rowena, Sunniva",
)
MEN = pool(
    "Tom, David, Peter, Mark, Paul, Daniel, James, Oliver, Lucas, Omar, Ravi, Chen, Hassan, Diego, Marco, Ivan, Erik, "
    "Samuel, Jack, Leo, Henry, Simon, Victor, Martin, Alan, Brian, Carl, Dennis, Frank, George, Harry, Ian, Joe, "
    "Kevin, "
    "Luke, Matt, Nick, Oscar, Philip, Ryan, Sean, Tim, Walter, Adam, Ben, Chris, Dan, Eddie, Felix, Gary, Hugo, Jason, "
    "Kyle, Louis, Max, Neil, Pablo, Rob, Steve, Toby",
    "Anselm, Bogdan, Casimir, Dmitri, Emeka, Florian, Gideon, Ignacio, Jasper, Kofi, Lorcan, Torsten",
)
SURNAMES = pool(
    "Lane, Holt, Patel, Reed, Brooks, Carter, Dunn, Ellis, Foster, Grant, Hayes, Irwin, Jensen, Keller, Lopez, Mason, "
    "Nolan, Owens, Parker, Quinn, Rossi, Shaw, Turner, Vogel, Walsh, Young, Becker, Costa, Evans, Fischer, "
    "Hughes, Ito, "
    "Khan, Larsen, Moreau, Novak, Osman, Park, Silva, Wright",
    "Abernathy, Blixen, Castellan, Drummond, Eklund, Farquhar, Lindqvist, Okonkwo",
)
# (relation, "f" or "m"): people of whom a speaker reports what they said
RELATIONS = (
    ("sister", "f"),
    ("mother", "f"),
    ("wife", "f"),
    ("aunt", "f"),
    ("daughter", "f"),
    ("flatmate", "f"),
    ("brother", "m"),
    ("father", "m"),
    ("husband", "m"),
    ("cousin", "m"),
    ("neighbour", "m"),
    ("son", "m"),
)
PRONOUNS = {"f": {"he": "she", "him": "her", "his": "her"}, "m": {"he": "he", "him": "him", "his": "his"}}
