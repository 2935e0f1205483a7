#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec sh "${srcdir:-.}/tests/clients/client.sh" openai_sdk
