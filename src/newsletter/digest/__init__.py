"""The digest: the e-mail form of an issue, in HTML and text, and the messages made of it.

`compile_digest` renders an issue once, with slots for what differs between readers; `Mailer` makes the bytes of
each reader's message; `archive_html` makes the page for nobody in particular. `compose_notice` makes the short
mails about a subscription.
"""

from newsletter.digest.compiling import LIMIT, compile_digest
from newsletter.digest.dkim import Signer, read_signer
from newsletter.digest.mailer import Mailer, MailSettings, archive_html
from newsletter.digest.material import (
    Depth,
    Design,
    Digest,
    Looks,
    Material,
    Render,
    issue_url,
    post_url,
    subject_of,
    title_of,
)
from newsletter.digest.notices import Addressee, Notice, NoticeKind, NoticeLinks, compose_notice
from newsletter.digest.wording import day

__all__ = [
    "LIMIT",
    "Addressee",
    "Depth",
    "Design",
    "Digest",
    "Looks",
    "MailSettings",
    "Mailer",
    "Material",
    "Notice",
    "NoticeKind",
    "NoticeLinks",
    "Render",
    "Signer",
    "archive_html",
    "compile_digest",
    "compose_notice",
    "day",
    "issue_url",
    "post_url",
    "read_signer",
    "subject_of",
    "title_of",
]
