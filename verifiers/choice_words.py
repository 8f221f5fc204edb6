r"""The words that announce a choice, in thirty-odd languages, and the letters that options are called by.

Invariants: everything here is data; a language is a line of it. Fields hold words that are joined by `|`. A letter of
another alphabet stands for the Latin one of its place; one that looks like a Latin letter of another place stands for
itself, since a writer may have meant either (`UNCLEAR`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """What one language says.

    Attributes:
        answer: nouns for "answer"; a letter may follow them without a verb.
        option: nouns for "option": a verb or a colon must follow, or a letter that is said to be right.
        link: what joins the noun to the letter, colons apart.
        after: adjectives that may stand between the noun and the link.
        pick: verbs that choose.
        right: what is said of the letter that is the answer.
    """

    answer: str
    option: str
    link: str
    after: str
    pick: str
    right: str


SPACED = {
    "en": Words(
        "answer|answers|answer choice|answer option|answer letter|answer key|ans",
        "option|options|choice|choices|letter|selection|alternative|one",
        "is|are|was|be|would be|will be|must be|should be|has to be|seems to be|appears to be|becomes|remains",
        "final|choice|option|letter|here|therefore|thus|then|hence|key",
        "choose|chose|select|selected|pick|picked|go with|going with|went with|opt for|say|mark",
        "correct|right|best|answer",
    ),
    "es": Words(
        "respuesta|respuestas|solución", "opción|opciones|alternativa|letra", "es|es la|son|sería|debe ser",
        "correcta|correctas|final|adecuada", "elijo|elegimos|escojo|selecciono|marco", "correcta|respuesta",
    ),
    "fr": Words(
        "réponse|réponses|reponse", "option|choix|proposition|lettre", "est|est la|sont|serait|doit être",
        "correcte|correctes|finale|juste|exacte|bonne", "choisis|choisissons|sélectionne",
        "correcte|correct|juste|bonne réponse|réponse",
    ),
    "de": Words(
        "antwort|antworten|lösung|ergebnis|endantwort", "option|möglichkeit|auswahl|buchstabe|antwortmöglichkeit",
        "ist|sind|lautet|lauten|wäre|ist also|lautet also|lautet daher", "lautet|richtig ist", "wähle|wählen",
        "richtig|korrekt|richtige antwort|antwort",
    ),
    "it": Words(
        "risposta|risposte|soluzione", "opzione|opzioni|alternativa|lettera", "è|è la|sono|sarebbe|e'",
        "corretta|corrette|giusta|finale|esatta", "scelgo|scegliamo|seleziono",
        "corretta|giusta|esatta|risposta",
    ),
    "pt": Words(
        "resposta|respostas|gabarito|solução", "opção|opções|alternativa|letra", "é|é a|são|seria|deve ser",
        "correta|corretas|certa|final", "escolho|escolhemos|seleciono|marco", "correta|certa|resposta",
    ),
    "ca": Words("resposta", "opció|lletra", "és|és la|seria", "correcta|final", "trio", "correcta|resposta"),
    "ro": Words("răspuns|răspunsul", "varianta|opțiunea", "este", "corect|final", "aleg", "corect|corectă"),
    "nl": Words(
        "antwoord|antwoorden", "optie|keuze|letter", "is|zijn|luidt", "juiste|correcte|dus", "kies", "juist|correct",
    ),
    "sv": Words("svar|svaret|svarsalternativ", "alternativ|alternativet", "är|blir", "rätt", "väljer", "rätt|korrekt"),
    "da": Words("svar|svaret", "mulighed|valgmulighed", "er|bliver", "rigtige|korrekte", "vælger", "rigtig|korrekt"),
    "fi": Words("vastaus", "vaihtoehto", "on", "oikea", "valitsen", "oikein|oikea"),
    "ru": Words(
        "ответ|ответы|ответом", "вариант|варианты|буква|выбор", "это|является|будет|равен", "правильный|верный|верен",
        "выбираю|выбираем|выберем", "верный|верно|правильный|правильно|верен|ответ",
    ),
    "uk": Words("відповідь", "варіант|літера", "це|є|буде", "правильна|вірна", "обираю|вибираю", "правильна|вірна"),
    "pl": Words(
        "odpowiedź|odpowiedzi|odpowiedzią", "opcja|opcją|wariant|litera", "to|jest|są|brzmi",
        "poprawna|prawidłowa|końcowa|ostateczna|poprawną|jest opcja", "wybieram|wybieramy",
        "poprawna|prawidłowa|poprawną odpowiedzią|prawidłową odpowiedzią|odpowiedź",
    ),
    "cs": Words("odpověď", "možnost|varianta", "je|zní", "správná|je možnost", "volím|vybírám", "správná|správně"),
    "hu": Words("válasz", "lehetőség", "az", "helyes", "választom", "helyes"),
    "el": Words("απάντηση|απαντηση", "επιλογή", "είναι|είναι η", "σωστή|τελική", "επιλέγω", "σωστή|σωστό"),
    "tr": Words(
        "cevap|cevabı|cevabım|yanıt|yanıtı", "seçenek|şık|şıkkı|seçeneği", "şudur|olarak", "doğru|nihai|şıkkı",
        "seçiyorum|seçiyoruz", "doğru|doğrudur|doğru cevaptır|doğru yanıttır",
    ),
    "vi": Words(
        "đáp án|câu trả lời|đáp số|trả lời|kết quả", "phương án|lựa chọn|ý", "là|sẽ là",
        "đúng|cuối cùng|chính xác|của câu này|đúng là", "chọn", "đúng|là đáp án|đáp án đúng",
    ),
    "id": Words(
        "jawaban|jawabannya|jawab", "opsi|pilihan|huruf", "adalah|ialah|yaitu|yakni",
        "yang benar|yang tepat|akhir|akhirnya|benar|tepat|terakhir", "memilih|pilih", "benar|tepat|jawaban",
    ),
    "sw": Words("jibu", "chaguo", "ni|ni chaguo", "sahihi|la mwisho|sahihi ni", "nachagua", "sahihi"),
    "yo": Words("ìdáhùn|idahun|idáhùn|àdáhùn", "àṣàyàn", "ni|jẹ́", "tó tọ́", "", "tọ́"),
    "ar": Words(
        "الجواب|الإجابة|الاجابة|إجابة|جواب|إجابتي|الحل", "الخيار|خيار|الاختيار|الحرف", "هو|هي|يكون|تكون",
        "الصحيح|الصحيحة|النهائي|النهائية|هو الخيار|هي الخيار|إذن|لذلك", "أختار|نختار|اختر",
        "صحيح|صحيحة|الصحيح|الصحيحة",
    ),
    "fa": Words(
        "پاسخ|جواب", "گزینه|گزینهٔ|گزینهی", "است|می باشد", "صحیح|درست|نهایی|صحیح گزینه|درست گزینه", "", "صحیح|درست",
    ),
    "ur": Words("جواب", "آپشن", "ہے", "درست|صحیح", "", "درست|صحیح"),
    "he": Words("תשובה|התשובה", "אפשרות|האפשרות", "היא|הוא", "הנכונה|הסופית|נכונה|היא אפשרות", "בוחר", "נכונה|הנכונה"),
    "hi": Words(
        "उत्तर|जवाब", "विकल्प", "है|होगा|होगी", "सही|अंतिम|विकल्प", "चुनता हूँ|चुनते हैं", "सही|सही उत्तर|सही है",
    ),
    "bn": Words("উত্তর|উত্তরঃ|জবাব", "বিকল্প|অপশন", "হল|হলো|হবে|হচ্ছে", "সঠিক|চূড়ান্ত", "", "সঠিক"),
}  # fmt: skip
"""Languages that put blanks between words, each by its code."""

UNSPACED = {
    "zh": Words(
        "答案|答|答曰|答复|解答",
        "选项|選項|选择|選擇|的选项|的選項|正确的|正確的",
        "是|为|為|应是|應是|应为|應為|应该是|應該是|就是|选|選|应选|應選|选择|選擇|项|項",
        "应该|應該|因此|所以|最终|最終|选项|選項",
        "故选|故選|应选|應選|选择|選擇|选|選",
        "正确|正確|对|是答案|为答案|是正确答案|为正确答案|是正確答案",
    ),
    "ja": Words(
        "答え|答|正解|解答|回答|正答", "選択肢|選択", "は|が|とは", "となる選択肢|の選択肢", "",
        "が正解|が正しい|が答え|が適切|が正答",
    ),
    "ko": Words(
        "정답|답|답변|해답|정답은|답은", "선택지|보기|옵션|선택", "은|는|이|가|은 바로", "번호", "",
        "이 정답|가 정답|가 맞|이 맞|이 옳|가 옳",
    ),
    "th": Words(
        "คำตอบ|คําตอบ", "ตัวเลือก|ข้อ", "คือ|เป็น|คือข้อ|คือตัวเลือก|คือ ข้อ", "ที่ถูกต้อง|ที่ถูก|สุดท้าย",
        "ตอบ|เลือก", "ถูกต้อง|ถูก",
    ),
}  # fmt: skip
"""Languages that do not, or that write particles at a word's end."""


def any_of(field: str, table: Mapping[str, Words]) -> str:
    """A pattern for the words that all languages of a table have in one field, longer ones first."""
    words = {word.lower() for row in table.values() for word in getattr(row, field).split("|") if word}
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


ADVERBS = (
    "therefore|thus|then|hence|so|clearly|indeed|simply|exactly|obviously|definitely|certainly|most likely|likely|"
    "probably|only|just|also|both|either|the letter|letter|the|daher|also|donc|por tanto|por lo tanto|la|el|"
    "l'|l’|die|der|das|il|lo|to|het|η|bien"
)
"""Words between a verb and the letter; without weight."""

CONCLUDING = (
    "therefore|so|thus|hence|consequently|finally|accordingly|in conclusion|final choice|conclusion|"
    "por lo tanto|por tanto|así|entonces|donc|ainsi|also|daher|folglich|quindi|dunque|pertanto|portanto|logo|assim|"
    "следовательно|значит|поэтому|итак|zatem|więc|dolayısıyla|o halde|vậy|do đó|jadi|maka|dus|لذلك|إذن|अतः|इसलिए"
)
CONCLUDING_UNSPACED = "因此|所以|故|综上|綜上|よって|したがって|따라서|그러므로|ดังนั้น"
"""Words that a conclusion begins with."""

REASONS = (
    "because|since|as|for|so|which|that|where|when|due|given|by|from|with|while|not|rather|instead|and not|both|only|"
    "porque|ya que|pues|puesto|parce que|car|puisque|weil|da|denn|perché|poiché|pois|porque|já que|потому|так как|"
    "поскольку|ponieważ|gdyż|bo|çünkü|vì|bởi|do|karena|sebab|لأن|بسبب|حيث|क्योंकि|چون|omdat|want|eftersom|fordi|koska|"
    "protože|διότι|γιατί|επειδή|כי|কারণ"
)
"""What a reason or an aside behind the letter begins with."""

DENIED = (
    "not|never|n't|n’t|nor|doubt|if|whether|unless|suppose|supposing|assume|assuming|wrong|incorrect|false|guess|maybe|perhaps|"
    "might|may|could|possibly|previous|other|another|student|students|student's|his|her|their|your|initial|proposed|first|no|non|nicht|nie|kein|keine|falsch|falsche|falsa|falso|wenn|ob|"
    "si|se|pas|fausse|incorrecta|errata|errada|não|incorreta|не|если|неверный|неправильный|ли|jeśli|czy|değil|yanlış|"
    "eğer|không|sai|nếu|bukan|salah|jika|ليس|ليست|خطأ|خاطئ|خاطئة|إذا|लगता|नहीं|गलत|यदि|niet|als|inte|ikke|jos|ei"
)
"""Words that take an announcement back where they stand before it in its clause."""

DENIED_UNSPACED = "不|非|未|别|別|错|錯|误|誤|若|如果|假设|是否|ではな|じゃな|もし|틀린|아닌|아니|만약|ไม่"

RETRACTED = (
    r"wait\b|hold on|hmm|on second thought|scratch that|correction\b|i made (?:a|an) (?:mistake|error)|i was wrong|"
    r"i take (?:that|it) back|let me (?:re-?check|re-?think|reconsider|re-?do|re-?read|double[- ]check|correct)|"
    r"(?:that|this|it)(?:'s|’s| is| was) (?:wrong|incorrect|not right|not correct|a mistake)|"
    r"(?:^|[.!?;\n]\s{0,3})(?:no|nope|actually|oops|sorry|but actually)\b|"
    r"espera|esperen|warte|moment mal|attends|aspetta|espere|стоп|подожд|нет,|czekaj|"
    r"等等|等一下|不对|不對|错了|錯了|待って|いや、|잠깐|아니,"
)
"""What takes back a choice that stands before it, in lower case."""

ALPHABETS = (
    "أبجدهوزح", "אבגדהוזח", "कखगघङचछज", "কখগঘঙচছজ", "กขคงจฉชซ", "アイウエオカキク",
    "甲乙丙丁戊己庚辛", "가나다라마바사아",
    "ㄱㄴㄷㄹㅁㅂㅅㅇ", "АБ\0ГД\0ЖЗ", "ΑΒΓΔΕ",
)  # fmt: skip
"""Letters in the order of options; a letter that looks like a Latin one of another place is left out."""

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
USUAL = 10  # options that go by a letter alone; later letters count where the gold answer is one of them

LETTERS = {letter: LATIN[at] for alphabet in ALPHABETS for at, letter in enumerate(alphabet) if letter != "\0"} | {
    "ا": "A",
    "إ": "A",
    "С": "C",
}
"""The Latin letter of the same place, by letter of another alphabet."""

UNCLEAR = {"В": "BC", "Е": "EF"}
"""Cyrillic letters with the Latin ones that each may stand for."""
