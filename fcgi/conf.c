/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of `key = value`, read without believing anything. */
#include "fcgi/conf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define KEY_BYTES_MAX 63
#define VALUE_BYTES_MAX 4095

struct reader {
	const char *at, *end;           /* what is left of the line */
	const char *name;
	int line;
	char key[KEY_BYTES_MAX + 1], value[VALUE_BYTES_MAX + 1];
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && is_blank(*r->at))
		r->at++;
}

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static sk_status key_read(struct reader *r, struct sk_err *err)
{
	size_t len = 0;

	while (r->at < r->end && is_key_char(*r->at)) {
		if (len == KEY_BYTES_MAX)
			return sk_fail(err, SK_EINVAL, "%s:%d: a key is longer than %d bytes", r->name, r->line, KEY_BYTES_MAX);
		r->key[len++] = *r->at++;
	}
	r->key[len] = '\0';
	if (len == 0)
		return sk_fail(err, SK_EINVAL, "%s:%d: expected a key (small letters, digits and '_')", r->name, r->line);
	skip_blanks(r);
	if (r->at == r->end || *r->at != '=')
		return sk_fail(err, SK_EINVAL, "%s:%d: expected '=' after \"%s\"", r->name, r->line, r->key);
	r->at++;
	skip_blanks(r);
	return SK_OK;
}

static sk_status value_char(struct reader *r, size_t *len, char c, struct sk_err *err)
{
	if ((unsigned char)c < 0x20 && c != '\t')
		return sk_fail(err, SK_EINVAL, "%s:%d: %s: control byte 0x%02x in the value", r->name, r->line, r->key,
			       (unsigned char)c);
	if (*len == VALUE_BYTES_MAX)
		return sk_fail(err, SK_EINVAL, "%s:%d: %s: the value is longer than %d bytes", r->name, r->line, r->key,
			       VALUE_BYTES_MAX);
	r->value[(*len)++] = c;
	return SK_OK;
}

static sk_status value_quoted(struct reader *r, struct sk_err *err)
{
	size_t len = 0;
	sk_status st;

	for (r->at++; r->at < r->end && *r->at != '"'; r->at++) {
		if (*r->at == '\\' && r->end - r->at > 1 && (r->at[1] == '"' || r->at[1] == '\\'))
			r->at++;
		st = value_char(r, &len, *r->at, err);
		if (st < 0)
			return st;
	}
	r->value[len] = '\0';
	if (r->at == r->end)
		return sk_fail(err, SK_EINVAL, "%s:%d: %s: the closing quote is missing", r->name, r->line, r->key);
	r->at++;
	skip_blanks(r);
	if (r->at < r->end && *r->at != '#')
		return sk_fail(err, SK_EINVAL, "%s:%d: %s: text after the closing quote", r->name, r->line, r->key);
	return SK_OK;
}

static sk_status value_plain(struct reader *r, struct sk_err *err)
{
	size_t len = 0;
	sk_status st;

	for (; r->at < r->end; r->at++) {
		if (*r->at == '#' && (len == 0 || is_blank(r->at[-1])))
			break;
		if (*r->at == '\r' && r->end - r->at == 1)
			break;
		st = value_char(r, &len, *r->at, err);
		if (st < 0)
			return st;
	}
	while (len && is_blank(r->value[len - 1]))
		len--;
	r->value[len] = '\0';
	return SK_OK;
}

sk_status sk_conf_parse(const char *text, size_t len, const char *name, sk_conf_fn fn, void *user, struct sk_err *err)
{
	const char *end = text + len;
	struct reader r = { .name = name };
	sk_status st;

	for (const char *line = text; line < end; line = r.end + 1) {
		const char *feed = memchr(line, '\n', (size_t)(end - line));

		r.at = line;
		r.end = feed ? feed : end;
		r.line++;
		skip_blanks(&r);
		if (r.at == r.end || *r.at == '#')
			continue;
		st = key_read(&r, err);
		if (st < 0)
			return st;
		st = r.at < r.end && *r.at == '"' ? value_quoted(&r, err) : value_plain(&r, err);
		if (st < 0)
			return st;
		st = fn(user, r.key, r.value, r.line, err);
		if (st < 0)
			return st;
	}
	return SK_OK;
}

sk_status sk_conf_read(const char *path, sk_conf_fn fn, void *user, struct sk_err *err)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	sk_status st;
	size_t len;

	if (!f)
		return sk_fail(err, errno == ENOENT ? SK_ENOENT : SK_EIO, "%s: %s", path, strerror(errno));
	text = malloc(FILE_BYTES_MAX + 1);
	if (!text) {
		st = sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
		goto out;
	}
	len = fread(text, 1, FILE_BYTES_MAX + 1, f);
	if (ferror(f))
		st = sk_fail(err, SK_EIO, "%s: %s", path, strerror(errno));
	else if (len > FILE_BYTES_MAX)
		st = sk_fail(err, SK_ETOOBIG, "%s: larger than %zu bytes", path, FILE_BYTES_MAX);
	else
		st = sk_conf_parse(text, len, path, fn, user, err);
out:
	free(text);
	fclose(f);
	return st;
}
