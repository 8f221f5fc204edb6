r"""What the last sentence concludes where nothing announces the answer, and what it never concludes."""

from __future__ import annotations

import pytest

from synthflow.verifiers.answers.finding.extract import find

CONCLUDED = [
    ("So the solutions are x = 1, -1, sqrt(2), -sqrt(2).", "1,-1", "x = 1, -1, sqrt(2), -sqrt(2)"),
    ("So the solutions are 3, sqrt(5) and 7.", "3", "3, sqrt(5), 7"),
    ("Thus x = 4, -√3, √3", "4", "x = 4, -√3, √3"),
    ("The angles are 2, pi, 3.", "2", "2, pi, 3"),
    ("Therefore, there are 239 such strings of length 6.", "239", "239 strings"),
    ("So, the smallest value of f(x) is 2, and it occurs when x = 0.", "2", "2"),
    ("So the smallest value of (a^2+b^2)/(a+b)^2 is 1/2. This value is achieved when a = b.", "1/2", "1/2"),
    ("Therefore, the number of ways is 2^(n-1).", "2^(n-1)", "2^(n-1)"),
    ("We use $x^2$ here.\n\nSo the total is 36.", "36", "36"),
    ("The total is 36.\n\nNote: this assumes 2 days.", "36", "36"),
    ("Total number of ways = (n+1)^2\n\nThis is the final answer.", "(n+1)^2", "(n+1)^2"),
    ("The number of such sets is 76.\n\nI hope this helps with all 3 of them!", "76", "76"),
    ("Therefore, the values of a and b are 3 and -4 respectively.", "a=3, b=-4", "a=3, b=-4"),
    ("So, a = 3 and b = -4.", "a=3, b=-4", "a = 3, b = -4"),
    ("So the minimum of x_1^2+x_2^2, given that x_1 + x_2 = 1, is 1/2.", "1/2", "1/2"),
    ("Therefore, x_1^2 + x_2^2 + x_3^2 = 23.", "23", "23"),
    ("So the number is a_6 + b_6 + c_6 = 70 + 99 + 70 = 239.", "239", "239"),
    ("Therefore, n is congruent to 3 modulo 7.", "3", "3"),
    ("So 3^105 + 4^105 mod 11 is equal to 2.", "2", "2"),
    ("Thus P = \\frac{3}{4}", "3/4", "\\frac{3}{4}"),
    ("The length is 2\\sqrt{3}.", "2\\sqrt{3}", "2\\sqrt{3}"),
    ("The polynomial is x^2+1", "x^2+1", "x^2+1"),
    ("The vertex is at (2, 3).", "(2,3)", "(2, 3)"),
    ("The roots are 2, 3 and 7", "2,3,7", "2, 3, 7"),
    ("So the expression is (x + y)(x^2 - xy + y^2).", "(x+y)(x^2-xy+y^2)", "(x + y)(x^2 - xy + y^2)"),
    ("Therefore the answer to all parts follows.\nHence $f(3)=12$", "12", "12"),
    ("The probability is 5/14, or approximately 35.7%.", "5/14", "5/14"),
    ("So the movie ends at 8:45 pm.", "8:45 pm", "8:45 pm"),
    ("The train arrives at 11:15.", "11:15", "11:15"),
    ("The price fell by 20%.", "20", "20%"),
    ("She paid $18 for 3, and the total is $54", "54", "$54"),
    ("He earns $12 an hour, so after 5 hours he has $60.", "60", "$60"),
    ("$5 + $7 = $12", "12", "$12"),
    ("It costs $3 each. Total: $9", "9", "$9"),
    ("The total is $9 and the change is $11.", "11", "$11"),
    ("The cheaper one costs \\$20, the dearer one \\$35, so together \\$55.", "55", "\\$55"),
    ("She pays US$20 now and US$35 later, in total US$55", "55", "$55"),
    ("The total cost is **$55**, of which $20 was tax.", "55", "$55"),
    ("He has $5 left, having spent $15 of his $20.", "5", "$5"),
    ("That is $1,250 + $375 = $1,625.", "1625", "$1,625"),
    ("He spends $7.50 and has $12.50 left.", "12.5", "$12.50"),
    ("#### Step 3: add\n12 + 24 = 36", "36", "36"),
    ("So she has 5 + 7 = <<5+7=12>>12 apples.", "12", "12 apples"),
    ("So it lasts 1 hour and 30 minutes.", "90 min", "1 hour 30 minutes"),
    ("Thus x^3-1 can be written as (x-1)(x^2+x+1).", "(x-1)(x^2+x+1)", "(x-1)(x^2+x+1)"),
    ("So x^3-1 factors as (x-1)(x^2+x+1).", "(x-1)(x^2+x+1)", "(x-1)(x^2+x+1)"),
    ("So the value is $2$. We checked 3 cases.", "2", "2"),
    ("So the value is $2$. I have tried 3 approaches.", "2", "2"),
    ("So the value is $2$. There were 3 cases to check.", "2", "2"),
    ("so 4 of the 40 are left over.\n\nsix", "6", "six"),
    ("8 of Tom's 20 books are red.", "8", "8"),
    ("She adds 5, now she's 20.", "20", "20"),
    ("There are 3 in 5 boxes.", "3", "3"),
    ("He gets 3.\n\nSecond.", "3", "3"),
    ("It is 2.\n\nThird", "2", "2"),
    ("He gets 3.\n\nFourth.", "3", "3"),
    ("He was 180 - 135 = 45 miles from home at the end of the 4 hours.", "45", "45 miles"),
]


@pytest.mark.parametrize(("text", "gold", "answer"), CONCLUDED)
def test_conclusions(text: str, gold: str, answer: str) -> None:
    assert find(text, gold=gold).text == answer


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("so the interval is (0, 1).", "1"),
        ("Hence x is 3 or 1", "1"),
        ("The ratio is 2:3", "3"),
        ("The probability is 3/4", "4"),
        ("It is 10^5", "5"),
        ("He got 5 out of 7", "7"),
        ("He got 5 out of 7", "5"),
        ("There are 5 of 7 left.", "7"),
        ("Therefore the value is 2√3", "3"),
        ("Therefore the value is 5x + 3", "3"),
        ("so that f(x) = x + 7", "7"),
        ("so the line is y = 2x + 9", "9"),
        ("Hence the line is 3x + 7y = 11.", "11"),
        ("He has more than 40", "40"),
        ("At most 40 of them fit, at least 30 do.", "30"),
        ("Total: 12 boys and 15 girls", "15"),
        ("Possible answers: 1, 2, 3, 4, 5", "5"),
        ("The four-digit automorphic numbers are 5625 and 9376.", "9376"),
        ("So, the smallest value of f(x) is 2, and it occurs when x = 0.", "0"),
        ("Therefore, the number of ways is 2^(n-1).", "1"),
        ("The expression \\( x^4 + x^2 + 1 \\) cannot be factored.", "x^4 + x^2 + 1"),
        ("It is not possible to choose them such that the sum is 1/7.", "1/7"),
        ("Therefore, there are no integer solutions of x + y = 3.", "3"),
        ("There is a polynomial f(x) with f(7)=11 and f(11)=13.", "13"),
        ("So the factor 2 occurs n times in P(n) = (n+1)(n+2).", "2"),
        ("I first thought $x=12$ but then I got stuck and give up.", "12"),
        ("It could be 12.", "12"),
        ("Let x = 12.", "12"),
        ("Is it 12?", "12"),
        ("We get 12.\n\nSo we are done after using the $3$ facts\nand 4 more of the 7.", "7"),
        ("A 4-digit number", "4"),
        ("The first day gives 14, the second 20.", "14"),
        ("The first day gives 14, the second 20.", "20"),
        ("Tom has 14, Ann 20.", "20"),
        ("Monday gives 20 and Tuesday 14.", "20"),
        ("Ann has 12 and her brother 9.", "12"),
        ("He has 12; his sister 9.", "12"),
        ("In May she sold 14, in June 20.", "20"),
        ("One box holds 14, another 20.", "20"),
        ("Half of them have 14, half 20.", "14"),
        ("He sold 8 of his 20 books.", "20"),
        ("She read 12 of her 30 pages.", "30"),
        ("They used 3 of our 9 tents.", "9"),
        ("That makes 15, give or take 2.", "2"),
        ("That makes 15, give or take 2.", "15"),
        ("That makes 15, plus or minus 2.", "15"),
        ("That makes 15 km, plus or minus 2.", "15 km"),
        ("So it is 15 km ± 2 km.", "15 km"),
        ("That makes 15 or so.", "15"),
        ("That makes 15 or thereabouts.", "15"),
        ("It is 15, more or less.", "15"),
        ("It is 15 at most.", "15"),
        ("It is 15 at least.", "15"),
        ("It is 15 and counting.", "15"),
        ("There are 15 or more.", "15"),
        ("It is 12, with remainder 3.", "12"),
        ("He wins 3 in every 5.", "3"),
        ("They won 3 in 5.", "3"),
        ("So it is 2 and 1/2.", "2, 1/2"),
        ("Hence 12 fails.", "12 fails"),
        ("It lasts 1 hour 30 minutes.", "30 minutes"),
        ("So it lasts 1 hour and 30 minutes.", "1 hour"),
        ("So it lasts 1 hour and a half.", "1 hour"),
        ("Hence he is 5 feet 10 inches tall.", "5 feet"),
        ("x^9+x^4-x-1 can be factored as (x^4-1)(x^5+1).", "x^9+x^4-x-1"),
        ("1 + 2\n\nis what remains to be shown for n = 5, which I leave out.", "5"),
    ],
)
def test_a_piece_is_no_conclusion(text: str, gold: str) -> None:
    assert find(text, gold=gold).text != gold


@pytest.mark.parametrize(
    ("text", "rule", "sure"),
    [
        ("Therefore, the number of ways is 12.", "concluded", True),
        ("So 12 is what remains, and 3 are gone.", "closing", False),
        ("The number of ways is 12.", "closing", False),
        ("Therefore, the maximum is 12, and the minimum is 3.", "closing", False),
        ("Therefore, the number of ways is 12, which is less than 15.", "closing", False),
        ("$12$ and $13$ were found.\n\n$$x = 12$$", "closing", False),
    ],
)
def test_only_firm_conclusions_are_sure(text: str, rule: str, sure: bool) -> None:
    found = find(text)
    assert (found.rule, found.sure) == (rule, sure)


def test_a_conclusion_whose_beginning_is_out_of_reach_is_none() -> None:
    assert find("1 + " * 2000 + "1").text == ""


def test_a_number_far_above_is_never_the_answer() -> None:
    assert find("The value is $x = 12$.\n\n" + "And so it goes on.\n" * 30).text == ""
