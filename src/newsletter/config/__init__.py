"""The configuration: one `newsletter.toml`, the environment over it, secrets from the environment or files.

The only package that reads the environment and the files of configuration. Every key is documented in
`docs/reference.md`; a test compares the two.
"""

from newsletter.config.delivery import (
    DeliveryConfig,
    DkimConfig,
    MaildirConfig,
    SmtpConfig,
    SmtpServerConfig,
)
from newsletter.config.fields import Section, parse_duration
from newsletter.config.loading import ENV_PREFIX, FILE_NAME, load
from newsletter.config.schema import (
    Config,
    FeedsConfig,
    FoldersConfig,
    GatherConfig,
    NewsletterConfig,
    PublicationConfig,
    ScheduleConfig,
    SecretsConfig,
    SourceConfig,
    StoreConfig,
    ThemeConfig,
    WebConfig,
    WebSubConfig,
)
from newsletter.config.secretfiles import make_dkim_key, read_secret
from newsletter.config.webhooks import WebhookConfig

__all__ = [
    "ENV_PREFIX",
    "FILE_NAME",
    "Config",
    "DeliveryConfig",
    "DkimConfig",
    "FeedsConfig",
    "FoldersConfig",
    "GatherConfig",
    "MaildirConfig",
    "NewsletterConfig",
    "PublicationConfig",
    "ScheduleConfig",
    "SecretsConfig",
    "Section",
    "SmtpConfig",
    "SmtpServerConfig",
    "SourceConfig",
    "StoreConfig",
    "ThemeConfig",
    "WebConfig",
    "WebSubConfig",
    "WebhookConfig",
    "load",
    "make_dkim_key",
    "parse_duration",
    "read_secret",
]
