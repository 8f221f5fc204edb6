r"""Completions that give a choice, or do not, by kind: ours, none of another project's suite. `\n` is a new line."""

from __future__ import annotations

GIVES_B = {
    "languages": r"""
        La respuesta es B.
        La respuesta correcta es la opción B.
        La bonne réponse est la B.
        La réponse est B
        Réponse : B
        Die richtige Antwort ist B.
        Antwort: B
        Die Antwort lautet (B).
        La risposta corretta è B.
        Risposta: **B**
        A resposta correta é a alternativa B.
        Resposta: letra B
        Gabarito: B
        Правильный ответ: B
        Ответ — B
        Ответ: (B).
        Prawidłowa odpowiedź to B.
        Odpowiedź: B
        Doğru cevap: B
        Cevap B'dir.
        Doğru cevap B şıkkıdır.
        Đáp án đúng là B.
        Đáp án: B
        Câu trả lời đúng là B
        Chọn B.
        答案是B。
        所以答案为 B
        故选B
        故選:B。
        选择B
        因此,正确答案是选项B。
        正确选项是B
        因此选项B正确
        A错误,B正确,故选B
        答案:【B】
        正确答案:B.罗马
        本题选B。
        答えはBです。
        答え:B
        正解は(B)です
        選択肢Bが正解です。
        よって正解は B である。
        정답: B
        정답은 (B)입니다.
        답은 B이다.
        답: B번
        الجواب هو B
        الإجابة الصحيحة هي B.
        الإجابة: (B)
        الخيار الصحيح هو B
        उत्तर: B
        सही उत्तर B है।
        उत्तर है B
        सही विकल्प B है
        התשובה הנכונה היא B
        תשובה: B
        پاسخ صحیح گزینه B است
        Het juiste antwoord is B.
        Jawaban: B
        Jawaban yang benar adalah B.
        Jibu: B
        คำตอบคือ B
        คำตอบที่ถูกต้องคือ ข้อ B
        ตอบ B
        Svaret är B.
        Vastaus: B
        Σωστή απάντηση είναι η B
        Răspunsul corect este B
        Відповідь: B
        উত্তর: B
        ìdáhùn: B
        """,
    "adjectives and particles": r"""
        La respuesta correcta es B.
        La respuesta es la B
        Respuesta final: B
        Opción correcta: B
        La opción correcta es la B
        La bonne réponse est B.
        La réponse est donc B.
        La réponse correcte est l'option B
        Réponse finale : **B**
        Die Antwort ist B.
        Die korrekte Antwort lautet B
        Lösung: B
        Antwort B ist richtig.
        Richtige Antwort: B
        La risposta è B.
        La risposta giusta è la B
        A resposta é B.
        Resposta final: B
        Alternativa correta: B
        Ответ — B.
        Правильный вариант: B
        Верный ответ: B
        Ответ: вариант B
        Ответ: B) 12
        Poprawna odpowiedź: B
        Cevap: B
        Doğru yanıt B'dir.
        Yanıt: B)
        Đáp án là B
        Đáp án chính xác là B.
        答案为B
        答案选B
        正确答案是B。
        正确答案为：B
        因此答案是：B。
        故答案为：B
        故答案选B
        所以正确的选项是B
        綜上所述，答案是B
        答案：(B)
        答案：**B**
        选B
        应该选择B
        最终答案：B
        答案是 \boxed{B}
        答えはBである。
        正解：B
        解答：(B)
        答えは B
        正解は選択肢Bです。
        最終的な答えはBです
        Bが正解です
        답: (B)
        정답은 B
        따라서 정답은 B이다.
        답은 B번입니다
        최종 답변: B
        الإجابة هي B
        الإجابة الصحيحة: B
        الجواب الصحيح هو B
        الإجابة: ب
        إذن الجواب هو (B)
        الجواب: B
        उत्तर B है
        सही उत्तर: B
        उत्तर: (B)
        अतः सही उत्तर B है।
        जवाब: B
        התשובה היא B
        Het antwoord is B
        Antwoord: B
        คำตอบ: B
        สรุป คำตอบที่ถูกต้องคือ B
        Svar: B
        Rätt svar är B
        Odpověď: B
        A helyes válasz: B
        Απάντηση: B
        """,
    "bare": r"""
        b. 7
        B. Rome
        (B) Rome
        B - it is the largest
        Ⓑ
        → B
        - B
        ✅ B
        Choice B
        It follows.\nB. Rome
        B: 12
        B\n\nExplanation: A is too small.
        (B) Rome\n\nRome is the capital of Italy.
        """,
    "reasons": r"""
        B because the sum is even.
        B, since 3 > 2
        The answer is B because A is too small.
        The answer is (B) because E = mc^2.
        The answer is B, as A car moves.
        Answer: B. A is wrong because it is 5. C is wrong.
        ANSWER: (B) A, D and F turn anticlockwise
        Option B is the correct answer because option A is wrong.
        """,
    "announced": r"""
        Answer: B (Rome)
        Answer: B, not C.
        Answer: B rather than C
        The answer to this question is B.
        The answer for question 7 is B.
        Answer: "B"
        The answer is 'B'.
        The correct choice is B: Rome
        The answer is option B
        The answer is most likely B.
        The answer seems to be B
        Answer = B
        Answer:\n- B
        Answer: <b>B</b>
        ✅ Correct Answer: **B) 12**
        {"answer": "B"}
        {"reason": "x", "answer": "B"}
        ## Final Answer\n\nB
        **Answer**\n(B)
        Final Answer: The final answer is (B). I hope it is correct.
        Ans: B
        I choose B.
        I would go with option B.
        Therefore, we select B.
        B is the correct answer.
        So the correct option is **B**.
        Each option:\nA) 5 is too small.\nB) 6 is right.\nC) 7 is too large.\n\nAnswer: B
        <answer>(B)</answer>
        <answer>B. Rome</answer>
        """,
    "concluded": r"""
        Therefore, choice B.
        So, option B.
        The sum is 5.\nTherefore, choice B.
        Thus the correct option B.
        Hence, (B).
        So B.
        Thus, it must be B
        Hence option (B).
        Therefore, the answer B.
        因此选项B。
        따라서 B
        Por lo tanto, B.
        Donc, option B.
        """,
    "a box without a letter": r"""
        We get \boxed{x=3}. So the answer is B.
        \boxed{7}\n\nAnswer: B
        \boxed{7}\n\nThe correct option is (B).
        The value is \boxed{7}, so (B) is correct.
        The value is $\boxed{7}$.\n\nB
        Hence \boxed{\text{Rome}}. **Final Answer: (B)**
        The correct option is (B) \boxed{7}
        """,
    "boxes": r"""
        \boxed{B) 42}
        \boxed{\text{B. } 42}
        \boxed{\text{Option B}}
        \boxed{B \text{ (42)}}
        \boxed{(B)\, 42}
        $\mathbf{B}$
        \textbf{Answer: B}
        <answer>\boxed{B}</answer>
        """,
    "retracted before": r"""
        The answer is A. No, the answer is B.
        The answer is A. Wait, I made a mistake. The answer is B.
        \boxed{A} is not right. The correct answer is B.
        \boxed{A} hmm, \boxed{B}
        First I thought A.\nThe answer is A.\n\nLet me re-check.\n\nThe answer is B.
        I initially chose A but the answer is B.
        A and C are wrong, so the answer is B.
        Since it is not A, the answer is B.
        The answer would be A if x > 0, but since x < 0, the answer is B.
        The answer is B. The answer is not A.
        The answer is B.\n\nNote that if the answer were A, x would be 2.
        """,
}

GIVES_NONE = {
    "denied": r"""
        The answer is not B
        The answer can't be B
        I do not think the answer is B.
        The answer is B. The answer is not B.
        I would not choose B.
        The wrong answer is B.
        B is wrong.
        Option B is wrong and so is C.
        B is not the answer.
        不选B
        答案不是B
        B选项错误
        选项B是错误的
        答えはBではない
        정답은 B가 아니다
        La respuesta no es B
        La réponse n'est pas B
        Die Antwort ist nicht B
        Ответ не B
        الجواب ليس B
        """,
    "hedged": r"""
        If the answer is B, then x = 2.
        It could be B.
        Maybe the answer is B.
        The answer might be B.
        Is the answer B?
        The answer is B?
        My guess is B
        I guess the answer is B
        Suppose the answer is B.
        Another answer is B.
        A student's answer is B.
        """,
    "remarks": r"""
        So B = mc^2.
        So A dog barks.
        So I think.
        Therefore, choice B is wrong.
        So option B fails.
        Thus, A or B.
        """,
    "taken back": r"""
        So, option B.\nWait, no.
        The answer is B. Actually, I was wrong.
        The answer is B. Wait, no.
        \boxed{B} is wrong.
        \boxed{B}. Wait, let me re-check.
        The answer is B!\n\nHmm wait.
        \boxed{B}\n\nActually, it should be C.
        \boxed{B}\n\nAnswer: C
        Answer: B\nAnswer: none of these
        """,
    "several": r"""
        The answer is A or B
        Answer: A/B
        Answer: A and also possibly B
        Either A or B
        A and B are correct
        We see that both A and B are correct.
        B is correct. A is correct. C is not.
        Answer: A or B? Hard to say.
        The answer is A.\n\nB
        The answer is A, \boxed{B}
        答案是A还是B
        """,
    "other languages": r"""
        \boxed{A^2}
        \boxed{A_1}
        \boxed{\vec{B}}
        \boxed{\mathbf{B} \cdot d}
        \boxed{A \cup B}
        Réponse: A ou C
        La respuesta es A o C
        Antwort: A oder C
        答案是A或C
        Ответ: A или C
        정답은 A 또는 C
        ليس الجواب C
        No es C
        не C
        Si la respuesta es C, entonces
        如果答案是C，那么
        答案：A型血
        La respuesta es A veces
        La réponse est A priori
        Resposta: A casa
        """,
    "words": r"""
        The answer is B cells.
        The answer is B-flat
        The answer is B12.
        The answer is B+C
        B = mc^2
        C'est la vie
        Plan B is C++
        Answer: D major
        The answer is A cat.
        Answer: A lot
        A dog
        I think so
        The answer is I, Robot
        ANSWER: I don't know
        Answer: N/A
        ANSWER: None of the above
        The correct answer is not listed.
        Answer: (see the diagram above)
        정답은 나도 모른다
        Consider option B.
        Case A: x = 2. Case B: x = 3.
        """,
}


def lines(block: str) -> list[str]:
    return [line.strip().replace("\\n", "\n") for line in block.strip().splitlines()]
