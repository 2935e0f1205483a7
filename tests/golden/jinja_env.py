# SPDX-License-Identifier: Apache-2.0
"""The environment in which transformers renders chat templates, with a clock that stands still."""
import datetime
import functools

from transformers.utils import chat_template_utils

NOW = datetime.datetime(2026, 11, 27, 12, 34, 56)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock


@functools.lru_cache(1)
def environment():
    return chat_template_utils._compile_jinja_template("").environment


def render(env, template, variables):
    """("o", text) or ("e", message)"""
    try:
        return "o", env.from_string(template).render(**variables)
    except Exception as e:  # whatever a template can raise is a failed render
        return "e", str(e)
