"""The English words that the rules of extraction know. Words alone, so that the rules stay readable."""

from __future__ import annotations

_FUNCTIONS = """
    sqrt sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp floor ceil round abs max min
    gcd lcm binom binomial choose factorial mod pi oo infinity alpha beta gamma delta theta lambda mu sigma phi
    omega tau rho eps det sup inf lim sum prod int frac cbrt cis deg rad
"""
_CONSTANTS = """
    pi oo infinity alpha beta gamma delta theta lambda mu sigma phi omega tau rho eps
"""
_LITTLE = """
    is or and so to in of at by we if as on be an it he no us for the not are but she his her its was has had get
    all one two six ten can may did day per you our now yes too any how who
"""
_NO_UNIT = """
    a an the this that these those and or but nor so as at by for from in into of off on onto out over per to
    under with without within while when where whether which who whom whose why how if since because after before
    until unless though although is are was were be been being am do does did has have had will would can could
    should may might must it its he she they them his her their we our you your i me my then than thus therefore
    hence not no only also too both either each every all any some such more less most fewer additional extra
    other another different distinct total possible valid whole left remaining altogether together respectively
    exactly approximately about roughly around given using i.e e.g namely here there now again still yet away ago
    later long old high wide tall deep according instead between during through cannot however available ways way
    full holds remains works follows exists makes gives shows satisfies
"""
_SKIPPED = """
    more additional extra other different distinct total possible valid such whole remaining ordered unordered
    unique new
"""
_PEOPLE = """
    people children men women mice feet teeth geese fish sheep
"""
_SENTENCE = """
    i we you he she it they this that these those there here is are was were be been am do does did has have had
    can could will would shall should may might must cannot can't don't isn't so thus therefore hence then since
    because if when where while let suppose assume consider my your our his her their what which who how why get
    gets give gives gave find found know think thought solve need answer step first next finally note error sorry
    please i'm unsure
"""
_ABOUT_IT = """
    correct right wrong incorrect verified confirmed consistent reasonable clear unique it this that
"""

FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Names of functions and constants that are mathematics where they stand in plain text."""

CONSTANTS = frozenset(_CONSTANTS.split())
"""Those of them that are a value by themselves."""

LITTLE = frozenset(_LITTLE.split())
"""Short words that are no product of variables."""

NO_UNIT = frozenset(_NO_UNIT.split())
"""Words behind a number that are neither its unit nor what it counts."""

SKIPPED = frozenset(_SKIPPED.split())
"""Adjectives between a number and what it counts."""

PEOPLE = frozenset(_PEOPLE.split())
"""Plurals that end in no s."""

SENTENCE = frozenset(_SENTENCE.split())
"""Words that only a sentence needs, and no answer."""

ABOUT_IT = frozenset(_ABOUT_IT.split())
"""What an answer is said to be, without being told: "the answer is correct"."""
