/* Opening: what is refused, with which words, and what is made. */
#include "store_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup_dir(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_dir(f);
	assert_int_equal(loop_open(&f->loop), 0);
	*state = f;
	return 0;
}

static int teardown_dir(void **state)
{
	struct fixture *f = *state;

	loop_close(f->loop);
	fixture_remove_dir(f);
	free(f);
	return 0;
}

static int try_open(struct fixture *f, struct error *err)
{
	struct store_options options = { .path = f->path };
	struct store *store = NULL;
	int r = store_open(f->loop, &options, &store, err);

	if (r == 0)
		store_close(store);
	return r;
}

static void make_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t get_int(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int64_t value;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static mode_t mode_of(const char *path, const char *suffix)
{
	char name[TEST_PATH_BYTES + 16];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	assert_int_equal(stat(name, &st), 0);
	return st.st_mode & 07777;
}

static void the_files_belong_to_their_owner_alone(void **state)
{
	struct fixture *f = *state;
	struct store_options options = { .path = f->path };
	mode_t old = umask(0);
	struct store *store = NULL;

	assert_int_equal(store_open(f->loop, &options, &store, NULL), 0);
	umask(old);
	assert_int_equal(mode_of(f->path, ""), 0600);
	assert_int_equal(mode_of(f->path, "-wal"), 0600);
	assert_int_equal(mode_of(f->path, "-shm"), 0600);
	assert_int_equal(mode_of(f->path, "-reserve"), 0600);
	store_close(store);
}

static void the_database_is_set_up_as_measured(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try_open(f, NULL), 0);
	assert_true(get_int(f->path, "PRAGMA page_size") == 8192);
	assert_true(get_int(f->path, "PRAGMA auto_vacuum") == 2);
	assert_true(get_int(f->path, "PRAGMA application_id") == 0x636f6e63);
	assert_true(get_int(f->path, "PRAGMA user_version") == 3);
	assert_int_equal(try_open(f, NULL), 0); /* and is found again so */
}

/* Pages that a query looks at. */
static int count_pages(const char *path, const char *sql)
{
	int pages = 0, unused = 0;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA cache_size = 4000; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &unused, &unused, 1); /* from here on */
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &pages, &unused, 0), SQLITE_OK);
	(void)sqlite3_close(db); /* nothing of it is open */
	return pages;
}

/* A row of inputs has 16 pages. */
static void finding_a_place_among_inputs_reads_none_of_them(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try_open(f, NULL), 0);
	run_sql(f->path, "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)"
			 " INSERT INTO input (job, first, count, sum, packed) SELECT 1, i * 10, 10, 0, zeroblob(131072) FROM n");
	assert_in_range(count_pages(f->path, "SELECT count FROM input WHERE job = 1 AND first = 1230"), 1, 12);
	assert_in_range(count_pages(f->path, "INSERT INTO input (job, first, count, sum, packed) VALUES (1, 2000, 1, 0, x'00')"),
			1, 12);
}

static void a_newer_schema_is_refused_with_both_versions(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	assert_int_equal(try_open(f, NULL), 0);
	run_sql(f->path, "PRAGMA user_version = 7");
	assert_int_equal(try_open(f, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "version 7"));
	assert_non_null(strstr(err.text, "up to 3"));
	assert_non_null(strstr(err.text, f->path));
	assert_true(get_int(f->path, "PRAGMA user_version") == 7); /* untouched */
}

/* The one file beside the store whose name goes on with ".damaged-" and ends in suffix; "" where there is none. */
static void find_aside(struct fixture *f, const char *suffix, char name[TEST_PATH_BYTES + 300])
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;

	assert_non_null(dir);
	name[0] = '\0';
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name), end = strlen(suffix);

		if (strncmp(entry->d_name, "store.db.damaged-", 17) == 0 && len > end &&
		    strcmp(entry->d_name + len - end, suffix) == 0) {
			assert_string_equal(name, "");
			(void)snprintf(name, TEST_PATH_BYTES + 300, "%s/%s", f->dir, entry->d_name);
		}
	}
	closedir(dir);
}

static void a_file_that_is_no_database_is_moved_aside_as_it_is(void **state)
{
	struct fixture *f = *state;
	char garbage[40000];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 31 ^ i >> 5);
	for (size_t len = 1; len <= sizeof(garbage); len = len * 7 + 3) {
		char aside[TEST_PATH_BYTES + 300], there[sizeof(garbage) + 1];
		FILE *file;

		make_file(f->path, garbage, len);
		assert_int_equal(try_open(f, NULL), 0);
		find_aside(f, "Z", aside);
		file = fopen(aside, "r");
		assert_non_null(file);
		assert_int_equal(fread(there, 1, sizeof(there), file), len);
		assert_memory_equal(there, garbage, len);
		fclose(file);
		assert_int_equal(unlink(aside), 0);
		assert_int_equal(unlink(f->path), 0);
	}
}

static void damage_page(const char *path, long page)
{
	long page_bytes = (long)get_int(path, "PRAGMA page_size");
	FILE *file = fopen(path, "r+");
	char noise[4096];

	assert_non_null(file);
	memset(noise, 0xa5, sizeof(noise));
	assert_int_equal(fseek(file, page * page_bytes, SEEK_SET), 0);
	assert_int_equal(fwrite(noise, 1, sizeof(noise), file), sizeof(noise));
	assert_int_equal(fclose(file), 0);
}

static void a_store_whose_jobs_cannot_be_read_is_moved_aside_and_numbers_go_on(void **state)
{
	struct fixture *f = *state;
	struct store_options options = { .path = f->path };
	char aside[TEST_PATH_BYTES + 300];
	struct store *store = NULL;
	uint64_t next_id = 0;

	assert_int_equal(try_open(f, NULL), 0);
	run_sql(f->path, "UPDATE meta SET value = 77");
	damage_page(f->path, get_int(f->path, "SELECT rootpage FROM sqlite_schema WHERE name = 'job'") - 1);
	assert_int_equal(store_open(f->loop, &options, &store, NULL), 0);
	assert_non_null(store_damaged(store));
	assert_non_null(strstr(store_damaged(store), ".damaged-"));
	assert_int_equal(store_next_id(store, &next_id), 0);
	assert_true(next_id == 77);
	store_close(store);
	find_aside(f, "Z", aside);
	assert_true(get_int(aside, "SELECT value FROM meta") == 77);
	assert_int_equal(store_open(f->loop, &options, &store, NULL), 0);
	assert_null(store_damaged(store)); /* the new one is sound */
	store_close(store);
}

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	char bytes[4096];
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
}

/* Whether opening the copy of a store says that its log is missing; it is closed in order. */
static bool says_log_missing(struct fixture *f, const char *path)
{
	struct store_options options = { .path = path };
	struct store *store = NULL;
	bool said;

	assert_int_equal(store_open(f->loop, &options, &store, NULL), 0);
	said = store_damaged(store) && strstr(store_damaged(store), "-wal', is missing");
	assert_true(said || !store_damaged(store));
	store_close(store);
	return said;
}

/* The writer marks it when it has been idle for a moment. */
static void wait_for_mark(struct fixture *f)
{
	for (int i = 0; get_int(f->path, "SELECT count(*) FROM meta WHERE key = 'log' AND value = 2") == 0; i++) {
		assert_true(i < 3000);
		assert_int_equal(usleep(10000), 0);
	}
}

static void a_store_that_was_copied_without_its_log_says_so_once(void **state)
{
	struct fixture *f = *state;
	struct store_options options = { .path = f->path };
	char copy[TEST_PATH_BYTES + 8], log[TEST_PATH_BYTES + 8], copied_log[TEST_PATH_BYTES + 16];
	struct store *store = NULL;

	(void)snprintf(copy, sizeof(copy), "%s.copy", f->path);
	(void)snprintf(log, sizeof(log), "%s-wal", f->path);
	(void)snprintf(copied_log, sizeof(copied_log), "%s-wal", copy);
	assert_int_equal(store_open(f->loop, &options, &store, NULL), 0);
	wait_for_mark(f);
	copy_file(f->path, copy);
	assert_true(says_log_missing(f, copy));
	assert_false(says_log_missing(f, copy)); /* it was closed in order */
	copy_file(f->path, copy);
	copy_file(log, copied_log);
	assert_false(says_log_missing(f, copy)); /* as after a kill */
	store_close(store);
	assert_int_equal(access(log, F_OK), -1);
	copy_file(f->path, copy);
	assert_false(says_log_missing(f, copy)); /* at rest it has none */
}

static void the_log_of_a_damaged_store_goes_with_it(void **state)
{
	struct fixture *f = *state;
	char log[TEST_PATH_BYTES + 300];

	(void)snprintf(log, sizeof(log), "%s-wal", f->path);
	make_file(f->path, "garbage", 7);
	make_file(log, "log", 3);
	assert_int_equal(try_open(f, NULL), 0);
	find_aside(f, "-wal", log);
	assert_string_not_equal(log, "");
}

static void another_programs_database_is_refused(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	run_sql(f->path, "CREATE TABLE songs (name TEXT)");
	assert_int_equal(try_open(f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "another program"));
	assert_true(get_int(f->path, "SELECT count(*) FROM sqlite_schema") == 1);
}

static void an_empty_file_becomes_a_store(void **state)
{
	struct fixture *f = *state;

	make_file(f->path, "", 0);
	assert_int_equal(try_open(f, NULL), 0);
	assert_int_equal(mode_of(f->path, ""), 0600);
}

static void a_first_opening_that_was_cut_short_is_finished(void **state)
{
	struct fixture *f = *state;

	/* As a kill between set-up and the first migration leaves it. */
	run_sql(f->path, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
	assert_int_equal(try_open(f, NULL), 0);
	assert_true(get_int(f->path, "PRAGMA auto_vacuum") == 2);
}

static void a_store_with_pages_of_another_size_keeps_them(void **state)
{
	struct fixture *f = *state;
	struct store_options options = { .path = f->path };

	/* As older ones were made. */
	run_sql(f->path, "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
	assert_int_equal(store_open(f->loop, &options, &f->store, NULL), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		struct test_op op = job_add(i, i == 1 ? "a" : i == 2 ? "b" : "c");

		assert_int_equal(run_op(f, &op), 0);
	}
	store_close(take_ptr(f->store));
	assert_int_equal(try_open(f, NULL), 0);
	assert_true(get_int(f->path, "PRAGMA page_size") == 16384);
	assert_true(get_int(f->path, "SELECT count(*) FROM job") == 3);
}

static void a_missing_directory_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char saved[TEST_PATH_BYTES];

	memcpy(saved, f->path, sizeof(saved));
	(void)snprintf(f->path, sizeof(f->path), "%s/nowhere/store.db", f->dir);
	assert_int_equal(try_open(f, &err), -ENOENT);
	assert_non_null(strstr(err.text, "nowhere"));
	memcpy(f->path, saved, sizeof(saved));
}

static void a_symbolic_link_is_not_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("/nonexistent/elsewhere", f->path), 0);
	assert_int_equal(try_open(f, NULL), -ELOOP);
}

/* As an ordinary user, in a process of its own: root may do everything. The errno of the attempt. */
static int open_as_nobody(struct fixture *f, const char *wanted_words)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct error err = ERROR_INIT;
		int r;

		if (geteuid() == 0 && (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
			_exit(255);
		r = try_open(f, &err);
		_exit(strstr(err.text, wanted_words) ? -r : 254);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_directory_without_permission_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 0555), 0);
	assert_int_equal(open_as_nobody(f, "has mode 0555"), EACCES);
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(try_open(f, NULL), 0);
	assert_int_equal(chmod(f->dir, 0555), 0); /* an existing database: its log could not be made */
	assert_int_equal(open_as_nobody(f, "has mode 0555"), EACCES);
	assert_int_equal(chmod(f->dir, 0755), 0);
}

static void a_file_without_permission_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(try_open(f, NULL), 0);
	assert_int_equal(chmod(f->path, 0400), 0);
	assert_int_equal(chmod(f->dir, 0777), 0);
	assert_int_equal(open_as_nobody(f, "has mode 0400"), EACCES);
	assert_int_equal(chmod(f->dir, 0700), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_dir, teardown_dir)
	const struct CMUnitTest tests[] = {
		TEST(the_files_belong_to_their_owner_alone),
		TEST(the_database_is_set_up_as_measured),
		TEST(finding_a_place_among_inputs_reads_none_of_them),
		TEST(a_newer_schema_is_refused_with_both_versions),
		TEST(a_file_that_is_no_database_is_moved_aside_as_it_is),
		TEST(a_store_whose_jobs_cannot_be_read_is_moved_aside_and_numbers_go_on),
		TEST(a_store_that_was_copied_without_its_log_says_so_once),
		TEST(a_store_that_was_copied_without_its_log_says_so_once),
		TEST(the_log_of_a_damaged_store_goes_with_it),
		TEST(another_programs_database_is_refused),
		TEST(an_empty_file_becomes_a_store),
		TEST(a_first_opening_that_was_cut_short_is_finished),
		TEST(a_store_with_pages_of_another_size_keeps_them),
		TEST(a_missing_directory_is_an_error),
		TEST(a_symbolic_link_is_not_followed),
		TEST(a_directory_without_permission_is_refused),
		TEST(a_file_without_permission_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
