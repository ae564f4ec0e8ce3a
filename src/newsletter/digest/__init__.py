"""The digest: the e-mail form of an issue, in HTML and text, and the messages made of it.

`compile_digest` freezes an issue and draws its archive page; `Mailer` compiles what readers share and makes the
bytes of each reader's message. `compose_notice` makes the short mails about a subscription.
"""

from newsletter.digest.compiling import LIMIT, check_templates, compile_digest
from newsletter.digest.dkim import Signer, read_signer, record_of
from newsletter.digest.frozen import Frozen, freeze, thaw
from newsletter.digest.letters import HASH_SHOWN, LetterMailer, Stationery, freeze_stationery, thaw_stationery
from newsletter.digest.mailer import Mailer, MailSettings, seed, unique_part
from newsletter.digest.material import (
    Depth,
    Design,
    Digest,
    Looks,
    Material,
    issue_url,
    post_url,
    subject_of,
    title_of,
)
from newsletter.digest.notices import (
    NOTICE_TEMPLATES,
    Addressee,
    Notice,
    NoticeLinks,
    compose_notice,
)
from newsletter.digest.rendering import template_names, tongue_of
from newsletter.digest.variants import Known
from newsletter.digest.wording import day
from newsletter.model import NoticeKind

__all__ = [
    "HASH_SHOWN",
    "LIMIT",
    "NOTICE_TEMPLATES",
    "Addressee",
    "Depth",
    "Design",
    "Digest",
    "Frozen",
    "Known",
    "LetterMailer",
    "Looks",
    "MailSettings",
    "Mailer",
    "Material",
    "Notice",
    "NoticeKind",
    "NoticeLinks",
    "Signer",
    "Stationery",
    "check_templates",
    "compile_digest",
    "compose_notice",
    "day",
    "freeze",
    "freeze_stationery",
    "issue_url",
    "post_url",
    "read_signer",
    "record_of",
    "seed",
    "subject_of",
    "template_names",
    "thaw",
    "thaw_stationery",
    "title_of",
    "tongue_of",
    "unique_part",
]
