"""Valid and invalid names of approvers; the runner and promote have the same rules."""

from __future__ import annotations

NAMES = (
    "ada", "Ada Lovelace", "grace.hopper@example.org", "ada+models@example.org", "octo-cat_7", "CORP\\ada", "4711",
    "uid 1000", "O'Neill", "D\u2019Arcy", "Jean-Luc", "Martin Luther King, Jr.", "Ada (Platform)", "J. R. R. Tolkien",
    "José Maria de Almeida e Silva dos Santos Pereira", "Łukasz Żółć", "Nguyễn Thị Minh Khai", "王小明", "山田 太郎",
    "マリア・テレジア", "김철수", "Наталія", "Ελένη", "محمد بن سلمان", "עדה",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "कविता कृष्णमूर्ति", "สมชาย ใจดี", "Gal·la",
)  # fmt: skip
NO_NAMES = (
    "clear; time make run", "make run && make test", "make run | tee log", "$(id)", "${HOME}", "`id`", "a > b", "a < b",
    "{a,b}", "ada\nx", "ada\x1b[2J", "ada\u202egnp", "ada\0", "#", "-", "- -", "...", "rm -rf .", "git commit -m fix",
    "APPROVE=ada", "/bin/sh", "http://example.org", "a:b", "*", "what?", "yes!", '"ada"', "a" * 101, "a " * 12 + "a",
    "👍",
)  # fmt: skip
