/* Options and words of a command line, by tables.
 *
 * Options may stand anywhere: before the command, behind it, between its words. "--" ends them. -jN, -j N,
 * --workers=N and --workers N are the same; letters without a value may stand together (-qd).
 */
#ifndef CONCD_CTL_OPTIONS_H
#define CONCD_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct option {
	const char *name; /* without dashes; NULL ends a table */
	char letter; /* 0: none */
	const char *arg; /* what its value is called; NULL: it takes none */
	const char *help;
};

struct option_value {
	const struct option *option;
	const char *value; /* NULL where the option takes none; points into argv */
};

struct args {
	struct option_value *values; /* in the order given */
	size_t n_values;
	const char **words; /* what is no option */
	size_t n_words;
};

/* Sort argv[0..argc) into options and words. `tables` are searched in order, n of them. 0, or -EINVAL with a reason
 * that names the option, and the nearest one where it is unknown. The strings stay argv's; args_fini() frees the rest.
 * */
int args_parse(struct args *args, int argc, const char *const *argv, const struct option *const *tables, size_t n,
	       struct error *err);
void args_fini(struct args *args);

/* The first word of argv that is no option nor an option's value, or argc where there is none: where the command is,
 * before its own options are known. Options that no table has are passed over. */
int args_first_word(int argc, const char *const *argv, const struct option *const *tables, size_t n);

/* By the option's long name. */
bool args_flag(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); /* the last one given; NULL: not given */

/* Values read as what they are: untouched where the option is not given, -EINVAL with the option, its value and an
 * example where it is wrong. */
int args_duration(const struct args *args, const char *name, int64_t *ret_ns, struct error *err);
int args_count(const struct args *args, const char *name, uint64_t min, uint64_t max, uint64_t *ret_value,
	       struct error *err);

/* A job's id as a word. 0 or -EINVAL. @last is none: select_job(). */
int parse_job(const char *word, uint64_t *ret_id, struct error *err);

#endif
