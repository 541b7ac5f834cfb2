/* Options and words of a command line. */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#define MAX_OPTIONS 128 /* in all tables together: bounds the list that "did you mean" looks through */

static const struct option *find_letter(char letter, const struct option *const *tables, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const struct option *o = tables[i]; o && o->name; o++)
			if (o->letter == letter)
				return o;
	return NULL;
}

static const struct option *find_name(const char *name, size_t len, const struct option *const *tables, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const struct option *o = tables[i]; o && o->name; o++)
			if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
				return o;
	return NULL;
}

static const char *name_at(const void *names, size_t i)
{
	return ((const char *const *)names)[i];
}

static int unknown_long(const char *word, size_t len, const struct option *const *tables, size_t n, struct error *err)
{
	const char *names[MAX_OPTIONS], *nearest;
	size_t n_names = 0;
	char name[64];

	for (size_t i = 0; i < n; i++)
		for (const struct option *o = tables[i]; o && o->name && n_names < MAX_OPTIONS; o++)
			names[n_names++] = o->name;
	if (len >= sizeof(name))
		return error_set(err, -EINVAL, "usage", "unknown option '%s'", word);
	memcpy(name, word + 2, len);
	name[len] = '\0';
	nearest = text_nearest(name, names, n_names, name_at);
	if (nearest)
		return error_set(err, -EINVAL, "usage", "unknown option '--%s': did you mean '--%s'?", name, nearest);
	return error_set(err, -EINVAL, "usage", "unknown option '--%s'", name);
}

static void add_value(struct args *args, const struct option *option, const char *value)
{
	args->values[args->n_values++] = (struct option_value){ option, value };
}

/* One word that begins with "--". *at is its place in argv, moved when the next word is its value. */
static int parse_long(struct args *args, int argc, const char *const *argv, int *at, const struct option *const *tables,
		      size_t n, struct error *err)
{
	const char *word = argv[*at], *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	const struct option *o = find_name(word + 2, len, tables, n);
	const char *value = equals ? equals + 1 : NULL;

	if (!o)
		return unknown_long(word, len, tables, n, err);
	if (!o->arg && value)
		return error_set(err, -EINVAL, "usage", "option '--%s' takes no value", o->name);
	if (o->arg && !value) {
		if (*at + 1 >= argc)
			return error_set(err, -EINVAL, "usage", "option '--%s' needs a value: --%s %s", o->name,
					 o->name, o->arg);
		value = argv[++*at];
	}
	add_value(args, o, value);
	return 0;
}

/* One word of letters behind a single dash. */
static int parse_letters(struct args *args, int argc, const char *const *argv, int *at,
			 const struct option *const *tables, size_t n, struct error *err)
{
	for (const char *c = argv[*at] + 1; *c; c++) {
		const struct option *o = find_letter(*c, tables, n);
		const char *value = NULL;

		if (!o && *c >= '0' && *c <= '9')
			return error_set(err, -EINVAL, "usage",
					 "unknown option '%s': if it is an input, put '--' in front of the inputs",
					 argv[*at]);
		if (!o)
			return error_set(err, -EINVAL, "usage", "unknown option '-%c'", *c);
		if (o->arg && c[1]) {
			value = c + 1;
		} else if (o->arg) {
			if (*at + 1 >= argc)
				return error_set(err, -EINVAL, "usage", "option '-%c' needs a value: -%c %s", *c, *c,
						 o->arg);
			value = argv[++*at];
		}
		add_value(args, o, value);
		if (value)
			break;
	}
	return 0;
}

int args_parse(struct args *args, int argc, const char *const *argv, const struct option *const *tables, size_t n,
	       struct error *err)
{
	size_t letters = 0;
	bool only_words = false;

	*args = (struct args){ .values = NULL };
	for (int i = 0; i < argc; i++)
		letters += strlen(argv[i]) + 1;
	args->values = calloc(letters + 1, sizeof(*args->values));
	args->words = calloc((size_t)argc + 1, sizeof(*args->words));
	if (!args->values || !args->words)
		return error_set(err, -ENOMEM, "internal", "out of memory");
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		int r = 0;

		if (only_words || word[0] != '-' || !word[1])
			args->words[args->n_words++] = word;
		else if (strcmp(word, "--") == 0)
			only_words = true;
		else if (word[1] == '-')
			r = parse_long(args, argc, argv, &i, tables, n, err);
		else
			r = parse_letters(args, argc, argv, &i, tables, n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void args_fini(struct args *args)
{
	free(args->values);
	free(args->words);
	*args = (struct args){ .values = NULL };
}

int args_first_word(int argc, const char *const *argv, const struct option *const *tables, size_t n)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const struct option *o = NULL;

		if (word[0] != '-' || !word[1])
			return i;
		if (strcmp(word, "--") == 0)
			return i + 1 < argc ? i + 1 : argc;
		if (word[1] == '-') {
			if (!strchr(word, '='))
				o = find_name(word + 2, strlen(word) - 2, tables, n);
		} else {
			/* In a group of letters only the last can take the next word. */
			for (const char *c = word + 1; *c; c++) {
				o = find_letter(*c, tables, n);
				if (o && o->arg) {
					if (c[1])
						o = NULL;
					break;
				}
			}
		}
		if (o && o->arg)
			i++;
	}
	return argc;
}

static const struct option_value *find_value(const struct args *args, const char *name)
{
	for (size_t i = args->n_values; i > 0; i--)
		if (strcmp(args->values[i - 1].option->name, name) == 0)
			return &args->values[i - 1];
	return NULL;
}

bool args_flag(const struct args *args, const char *name)
{
	return find_value(args, name) != NULL;
}

const char *args_text(const struct args *args, const char *name)
{
	const struct option_value *v = find_value(args, name);

	return v ? v->value : NULL;
}

int args_duration(const struct args *args, const char *name, int64_t *ret_ns, struct error *err)
{
	const char *text = args_text(args, name);
	int r;

	if (!text)
		return 0;
	r = text_parse_duration(text, ret_ns);
	if (r < 0)
		return error_set(err, -EINVAL, "usage",
				 "option '--%s': '%s' is %s; durations look like 500ms, 10s, 2m or 1.5h", name, text,
				 r == -ERANGE ? "too long" : "no duration");
	return 0;
}

int args_count(const struct args *args, const char *name, uint64_t min, uint64_t max, uint64_t *ret_value,
	       struct error *err)
{
	const char *text = args_text(args, name);
	uint64_t value;
	int r;

	if (!text)
		return 0;
	r = text_parse_u64(text, &value);
	if (r < 0 || value < min || value > max)
		return error_set(err, -EINVAL, "usage",
				 "option '--%s': '%s' is no number from %llu to %llu; for example --%s %llu", name,
				 text, (unsigned long long)min, (unsigned long long)max, name,
				 (unsigned long long)(min < 10 && max >= 10 ? 10 : min));
	*ret_value = value;
	return 0;
}

int parse_job(const char *word, uint64_t *ret_id, struct error *err)
{
	if (text_parse_u64(word, ret_id) < 0 || *ret_id == 0)
		return error_set(err, -EINVAL, "usage", "'%s' is no job: a job is a number, or @last; see 'concctl list'", word);
	return 0;
}
