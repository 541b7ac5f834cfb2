/* Aligned columns for people, on a terminal and in pipes.
 *
 * Cells are cleaned (control characters become '?') and measured in characters, not bytes. Columns are as wide as their
 * widest cell; the last one is not padded. Colours go around cells and count for nothing.
 */
#ifndef CONCD_CTL_TABLE_H
#define CONCD_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_MAX_COLUMNS 16

struct table_column {
	const char *title; /* NULL ends the list */
	bool right; /* numbers */
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cells; /* row after row, each owned; NULL: empty */
	size_t n_cells, cap;
	bool failed; /* out of memory: some cells are missing */
};

void table_init(struct table *table, const struct table_column *columns);
void table_fini(struct table *table);
#define _cleanup_table_ _cleanup_(table_fini)

/* Add the next cell, left to right, row after row. */
void table_add(struct table *table, const char *text);
void table_printf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print with a heading. `color` makes the heading bold and colours the words of states. 0 or -ENOMEM. */
int table_print(const struct table *table, FILE *file, bool color);

/* A line "name   value" on standard output, cleaned like a cell. */
void print_field(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The escape that a state's word is shown in, "" for none. */
const char *state_color(const char *state);
#define COLOR_OFF "\033[0m"
#define COLOR_BOLD "\033[1m"

/* A copy without control characters, cut to max bytes with "..." at the end. The caller frees; NULL without memory. */
char *text_clean(const char *text, size_t max);

#endif
