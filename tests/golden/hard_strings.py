# SPDX-License-Identifier: Apache-2.0
"""Strings that tokenizers stumble over: HARD as they are, LONG as (unit, times)."""
WORDS = """Hello world the and of to in is that for it was on are with as I his they be at one have this from or had by
running unbelievable antidisestablishmentarianism don't we've I'm they'll she'd it's 'tis rock'n'roll O'Neill
naïve café résumé Zürich Straße Ångström œuvre Ελληνικά Привет мир здравствуйте שלום עולם مرحبا بالعالم नमस्ते दुनिया
สวัสดีชาวโลก こんにちは 世界 中文字符 한국어 테스트 ᏣᎳᎩ አማርኛ தமிழ் မြန်မာ ქართული Հայերեն 𝒽𝑒𝓁𝓁𝑜 ﬁancé ǅ İstanbul ıI""".split()

HARD = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n ", "\n \n", "\t\t x", "a  b", "a   b", "a \n\n  b", "  leading",
    "trailing  ", "trailing \n", "\x0b\x0c", "\u00a0x", "x\u00a0 y", "\u2003em", "\u3000全角", "\u1680o", "\u180em", "\u200bz", "\u2028l\u2029p",
    "\u0085n", "\ufeffbom", "x\ufeff", "\u202ertl\u202c", "\x00", "a\x00b", "\x01\x02\x03\x04\x05\x06\x07\x08", "\x0e\x0f\x10\x11\x12\x13\x14\x15",
    "\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f", "\x1b[31mred\x1b[0m", "\x80\x9f\xa0\xad", "soft\xadhyphen",
    "1", "12", "123", "1234567890", " 1", "  12", "1 2", "a1b2c3", "3.14159", "1,000,000", "-42", "0x1F", "1e-9", "2026-11-24", "10:30", "v1.2.3-rc4",
    "½ ⅓ ¼", "x²+y³", "Ⅷ ⅷ", "٣٤٥", "१२३", "１２３", "〇一二三", "①②③", "𝟘𝟙𝟚", "𐄇", "1st 2nd", "1'2", "9's", " 9 ", "7\n8", "5\t6",
    "'s", "'S", "'ll've", "don't", "DON'T", "’s ‘tis", "'", "''", "'''", "I'm'm", " 's", "a'", "'re re", "y'all'd've",
    "Hello, world!", "Hello,world!!!", "...", "…", "?!?!", "(a)[b]{c}<d>", "a--b", "---", "===", "***bold***", "# Title\n\n- item\n- item", "@user #tag",
    "http://example.org/a?b=c&d=%20#e", "user@example.com", "C:\\path\\to\\file", "/usr/bin/env", "$HOME ${x} $(y)", "`code`", "```c\nint x;\n```",
    "int main(void)\n{\n\treturn 0;\n}\n", "def f(x):\n    if x:\n        return x ** 2\n    else:\n        return None\n",
    "for (i = 0; i < n; i++)\n\t\ta[i] += b[i] << 2;", "<html>\n  <body class=\"x\">&nbsp;</body>\n</html>", "SELECT * FROM t WHERE a = 'b''c';",
    "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\\n\"}", "x = lambda *a, **k: (a, k)", "#!/bin/sh\nset -eu\r\nexit 0\r\n", "a\r\nb\r\n\r\nc", "\r\r\n\n\r",
    "    four\n        eight\n\ttab\n \tmixed", "if(a&&b||!c){}", "a->b::c.d", "0b1010_1010", "camelCaseAndPascalCase snake_case SCREAMING_CASE kebab-case",
    "é", "e\u0301", "e\u0301\u0302\u0303", "\u0301", " \u0301", "a\u0300b\u0301c", "Z\u0351\u036b\u0343\u036aa\u0302l\u030dg\u030ao\u0352", "\u1100\u1161\u11a8", "각", "각\u11a8", "ﷺ", "ﬀ",
    "😀", "😀😁", "a😀b", " 😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣2️⃣", "❤️ ❤", "☃", "\U0001f9d1\u200d\U0001f680", "🫠🫡", "\U0001fae8", "\ufe0f", "\u200d",
    "中文没有空格的长句子，标点符号也在里面。", "日本語のテキスト、カタカナとひらがな。", "한국어 문장입니다. 띄어쓰기 있음!", "漢字kanji混在mixed123", "「引用」『二重』", "ｆｕｌｌｗｉｄｔｈ", "𠀀𠀁𪜶", "\U00031350\U0002ebf0", "々〆〇",
    "مرحبا بالعالم، كيف حالك؟", "السَّلامُ عَلَيْكُم", "שָׁלוֹם עֲלֵיכֶם", "עברית with English", "हिन्दी में क्‍या", "ไทยไม่มีช่องว่าง", "ગુજરાતી", "বাংলা", "தமிழ் நாடு", "བོད་ཡིག", "ខ្មែរ", "ລາວ",
    "\U0001d400\U0001d401", "\U00010400\U00010428", "\U0010ffff", "\U000e0001\U000e0041", "\ue000\uf8ff", "\ufffd", "\ufffe\uffff", "\U0001fffe", "\u0378\u0379", "\U000f0000", "\U000c0000x\U00080000", "\U00040000",
    "\u1c89\u1c8a", "\ua7cb\ua7da", "\U000105c0\U000105f3", "\U00010d40\U00010d4a", "\U00011de0\U00016ff4", "x\u180ey", "\u180e\u180e x",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", " <|im_end|> ", "<|im_end|><|im_end|>", "a<|im_end|>b",
    "<|im_end|", "|im_end|>", "<|im_end|>>", "<<|im_end|>", "<|IM_END|>", "<|im_<|im_end|>end|>", "<repo_name>x<reponame>y", "<file_sep><filename>a.py", "<gh_stars>100-1000",
    "<issue_start><issue_comment><issue_closed>", "<jupyter_start><jupyter_text><jupyter_code><jupyter_output><jupyter_script><empty_output>", "<jupyter_", "<s></s><unk><pad>",
    "\n<|im_start|>\n", "1<|im_end|>2", "'<|endoftext|>s", "<|endoftext|>\u0338", "é<|im_start|>é", "The capital of France is", " The capital of France is Paris.\n",
    "Once upon a time, there was a little girl who lived in a village near the forest.", "supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaftskapitän",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababababababababababababababababababababababab", "hahahahahahahahahahahahahahahahahahahahahahahahahahaha",
    "_" * 47, "-" * 48, "=" * 49, "#" * 50, " " * 100, "\n" * 70, "\t" * 33, " " * 7 + "x", "\u00e9" * 25, "ACGT" * 20, "0" * 60, "/" * 99, "." * 200,
]

LONG = [("a", 5000), (" ", 5000), ("\n", 5000), ("ab", 4000), ("the", 3000), ("x" * 47 + " ", 50), ("=", 3001), ("é", 3000), ("世", 3000), ("😀", 1500), ("\u0301", 2000),
        ("1", 2000), (" \n", 2000), ("a b", 2000), ("'s", 2000), ("<|im_end|>", 500), ("<|im_end", 500), ("\x04\x06", 700), ("x\x04", 700), ("qwertyuiopasdfghjklzxcvbnm", 300), ("ing", 2500),
        ("\U000c0000", 300), ("<", 3000), ("—", 2000), ("antidisestablishmentarianism", 200)]
