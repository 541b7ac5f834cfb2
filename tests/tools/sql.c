/* sql: a database seen from outside, for tests of the store: sql FILE STATEMENT..., or from standard input where none is
 * given. Rows are printed one a line, columns separated by '|', bytes in hexadecimal. A statement @FILE waits until something can be
 * read from that (a FIFO): to hold a transaction open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#define BUSY_TIMEOUT_MS 5000

static void print_column(sqlite3_stmt *stmt, int i)
{
	const unsigned char *data = sqlite3_column_blob(stmt, i);
	int len = sqlite3_column_bytes(stmt, i);

	if (sqlite3_column_type(stmt, i) != SQLITE_BLOB) {
		const char *text = (const char *)sqlite3_column_text(stmt, i);

		(void)fputs(text ? text : "", stdout);
		return;
	}
	for (int at = 0; at < len; at++)
		(void)printf("%02x", data[at]);
}

static int print_rows(sqlite3_stmt *stmt)
{
	int rc;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			print_column(stmt, i);
			(void)putchar(i + 1 < sqlite3_column_count(stmt) ? '|' : '\n');
		}
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int run(sqlite3 *db, const char *text)
{
	while (*text) {
		sqlite3_stmt *stmt = NULL;
		int rc = sqlite3_prepare_v2(db, text, -1, &stmt, &text);

		if (rc == SQLITE_OK && stmt)
			rc = print_rows(stmt);
		(void)sqlite3_finalize(stmt); /* repeats the failure */
		if (rc != SQLITE_OK) {
			(void)fprintf(stderr, "sql: %s\n", sqlite3_errmsg(db));
			return 1;
		}
	}
	return 0;
}

static char *read_all(FILE *file)
{
	size_t len = 0, room = 1 << 20, n;
	char *text = malloc(room);

	while (text && (n = fread(text + len, 1, room - len - 1, file)) > 0) {
		len += n;
		if (room - len < room / 2)
			text = realloc(text, room *= 2);
	}
	if (text)
		text[len] = '\0';
	return text;
}

static int wait_for(const char *name)
{
	FILE *file;

	(void)fflush(stdout); /* who reads it knows how far we are */
	file = fopen(name, "r");
	if (!file)
		return 2;
	(void)fgetc(file); /* whatever it is */
	(void)fclose(file);
	return 0;
}

int main(int argc, char *argv[])
{
	sqlite3 *db = NULL;
	int r = 0;

	if (argc < 2 || sqlite3_open(argv[1], &db) != SQLITE_OK || sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS) != SQLITE_OK) {
		(void)fprintf(stderr, "sql: cannot open '%s'\n", argc < 2 ? "" : argv[1]);
		return 2;
	}
	for (int i = 2; i < argc && r == 0; i++)
		r = argv[i][0] == '@' ? wait_for(argv[i] + 1) : run(db, argv[i]);
	if (argc == 2) {
		char *text = read_all(stdin);

		r = text ? run(db, text) : 2;
		free(text);
	}
	(void)sqlite3_close(db); /* nothing of it is open any more */
	return r;
}
