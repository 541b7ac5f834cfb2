/* Aligned columns. */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define MAX_CELL_BYTES 4096

void table_init(struct table *table, const struct table_column *columns)
{
	*table = (struct table){ .columns = columns };
	while (table->n_columns < TABLE_MAX_COLUMNS && columns[table->n_columns].title)
		table->n_columns++;
}

void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ .columns = NULL };
}

char *text_clean(const char *text, size_t max)
{
	size_t len = strlen(text);
	bool cut = len > max;
	char *copy;

	if (cut)
		for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
			; /* not in the middle of a character */
	copy = malloc(len + 4);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		bool is_c1 = i > 0 && (unsigned char)text[i - 1] == 0xc2 && (unsigned char)text[i] < 0xa0; /* terminals obey these too */

		copy[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
		if (is_c1)
			copy[i - 1] = copy[i] = '?';
	}
	strcpy(copy + len, cut ? "..." : "");
	return copy;
}

void table_add(struct table *table, const char *text)
{
	if (table->n_cells == table->cap) {
		size_t cap = table->cap ? table->cap * 2 : 64;
		char **cells = realloc(table->cells, cap * sizeof(*cells));

		if (!cells) {
			table->failed = true;
			return;
		}
		table->cells = cells;
		table->cap = cap;
	}
	table->cells[table->n_cells] = text_clean(text, MAX_CELL_BYTES);
	if (!table->cells[table->n_cells])
		table->failed = true;
	table->n_cells++;
}

void table_printf(struct table *table, const char *format, ...)
{
	char text[MAX_CELL_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a cut cell is still a cell */
	va_end(ap);
	table_add(table, text);
}

/* Characters, counted as the bytes that begin one. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		if (((unsigned char)*text & 0xc0) != 0x80)
			n++;
	return n;
}

const char *state_color(const char *state)
{
	static const struct {
		const char *state, *color;
	} colors[] = { { "done", "\033[32m" }, { "running", "\033[36m" }, { "failed", "\033[31m" },
		       { "cancelled", "\033[33m" } };

	for (size_t i = 0; i < ARRAY_SIZE(colors); i++)
		if (strcmp(state, colors[i].state) == 0)
			return colors[i].color;
	return "";
}

static void print_cell(FILE *file, const char *text, size_t width, bool right, bool last, const char *color)
{
	size_t used = width_of(text);
	int pad = used < width ? (int)(width - used) : 0;

	if (right)
		(void)fprintf(file, "%*s", pad, "");
	(void)fprintf(file, "%s%s%s", color, text, *color ? COLOR_OFF : "");
	if (!last)
		(void)fprintf(file, "%*s", right ? 2 : pad + 2, "");
}

int table_print(const struct table *table, FILE *file, bool color)
{
	size_t widths[TABLE_MAX_COLUMNS], n = table->n_columns;

	if (table->failed)
		return -ENOMEM;
	for (size_t c = 0; c < n; c++)
		widths[c] = width_of(table->columns[c].title);
	for (size_t i = 0; i < table->n_cells; i++)
		if (width_of(table->cells[i]) > widths[i % n])
			widths[i % n] = width_of(table->cells[i]);
	for (size_t c = 0; c < n; c++)
		print_cell(file, table->columns[c].title, widths[c], table->columns[c].right, c + 1 == n,
			   color ? COLOR_BOLD : "");
	(void)fputc('\n', file);
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t c = i % n;

		print_cell(file, table->cells[i], widths[c], table->columns[c].right, c + 1 == n,
			   color ? state_color(table->cells[i]) : "");
		if (c + 1 == n)
			(void)fputc('\n', file);
	}
	return 0;
}

void print_field(const char *name, const char *format, ...)
{
	_cleanup_free_ char *clean = NULL;
	char text[MAX_CELL_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a cut line is still a line */
	va_end(ap);
	clean = text_clean(text, sizeof(text));
	(void)printf("%-13s %s\n", name, clean ? clean : "");
}
