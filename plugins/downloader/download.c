/* One download (see download.h).
 *
 *	input ── target ──> gate ──> exchange ──> 2xx: file complete, result
 *	            ^                    │
 *	            └──── redirect ──────┴──────> anything else: failed
 *
 * Redirects are followed here and not by libcurl, so that each hop passes the gate and the same checks as the input.
 */
#include "download.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file.h"
#include "session.h"
#include "target.h"

/* Of an answer that is no download so much is read, to keep the connection; beyond it the connection is closed. */
#define DISCARD_MAX 65536
#define SHOWN_MAX 300 /* characters of a URL in messages */
#define NS_PER_S INT64_C(1000000000)

struct download {
	struct concd_task *task;
	const struct download_options *options;
	struct transfer transfer;
	struct target target;
	int64_t deadline_ns; /* INT64_MAX: none */
	/* The exchange in progress, filled by on_body. */
	long status; /* 0: not known yet */
	int64_t bytes;
	int64_t discarded;
	struct file file;
	char name[FILE_NAME_SIZE]; /* wanted, from the input's path */
	int file_error; /* -errno; 0: none */
	bool is_over; /* more than max_bytes */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static bool has_file(const struct download *d)
{
	return d->options->dir[0] != '\0';
}

/* A part of the body has come: libcurl's callback, on the loop's stack. Less than size * n ends the exchange. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct download *d = arg;
	size_t len = size * n;
	curl_off_t total;

	transfer_alive(&d->transfer);
	if (d->status == 0)
		(void)curl_easy_getinfo(d->transfer.easy, CURLINFO_RESPONSE_CODE, &d->status);
	if (d->status < 200 || d->status > 299) {
		d->discarded += (int64_t)len;
		return d->discarded > DISCARD_MAX ? 0 : len;
	}
	d->bytes += (int64_t)len;
	if (d->options->max_bytes > 0 && d->bytes > d->options->max_bytes) {
		d->is_over = true;
		return 0;
	}
	if (has_file(d)) {
		if (!d->file.is_open)
			d->file_error = file_open(&d->file, d->options->dir, d->name);
		if (d->file_error == 0)
			d->file_error = file_write(&d->file, data, len);
		if (d->file_error < 0)
			return 0;
	}
	if (curl_easy_getinfo(d->transfer.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total) == CURLE_OK && total > d->bytes)
		concd_progress(d->task, (double)d->bytes / (double)total);
	return len;
}

static long to_ms(int64_t ns)
{
	int64_t ms = ns / 1000000;

	return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (long)ms; /* 0 would mean libcurl's default */
}

/* Options that copy text may fail, for want of memory only; the others cannot. */
static int set_options(struct download *d)
{
	const struct download_options *options = d->options;
	CURL *easy = d->transfer.easy;

	d->transfer.is_special = options->ca_file[0] != '\0';
	if (handle_set_agent(&d->transfer.handle, options->user_agent) < 0 ||
	    (options->ca_file[0] != '\0' && curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) != CURLE_OK))
		return -ENOMEM;
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, d);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, to_ms(options->connect_timeout_ns));
	d->transfer.stall_timeout_ns = options->stall_timeout_ns;
	return 0;
}

/* Fail in words: the URL, cut where it is long, and what happened to it. */
__attribute__((format(printf, 4, 5))) static int fail(struct download *d, uint32_t why, int64_t after_ns,
						       const char *format, ...)
{
	const char *url = d->target.shown;
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (after_ns >= 0)
		return concd_fail_retry_after(d->task, after_ns, "%.*s: %s", SHOWN_MAX, url, text);
	return concd_fail(d->task, why, "%.*s: %s", SHOWN_MAX, url, text);
}

static int fail_code(struct download *d, CURLcode code)
{
	const char *text = d->transfer.error[0] != '\0' ? d->transfer.error : curl_easy_strerror(code);

	if (d->is_over || code == CURLE_FILESIZE_EXCEEDED)
		return fail(d, CONCD_FAIL_PERMANENT, -1, "larger than max_bytes = %" PRId64, d->options->max_bytes);
	if (d->file_error < 0)
		return fail(d, CONCD_FAIL_PERMANENT, -1, "cannot write into directory '%s': %s", d->options->dir,
			    strerror(-d->file_error));
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return fail(d, CONCD_FAIL_INPUT, -1, "%s", text);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
		return fail(d, CONCD_FAIL_PERMANENT, -1, "%s", text);
	default: /* the network's and the server's troubles pass */
		return fail(d, CONCD_FAIL_RETRY, -1, "%s", text);
	}
}

/* One exchange with the present target. 0: the server answered, d->status is its answer. */
CONCD_YIELDS static int exchange(struct download *d)
{
	struct transfer *transfer = &d->transfer;
	enum gate_end end = GATE_END_KEPT;
	int r;

	d->status = 0;
	d->bytes = d->discarded = 0;
	r = handle_set_url(&transfer->handle, d->target.url, d->target.origin_len, d->target.plain);
	if (r < 0)
		return r;
	r = gate_enter(session_gate(transfer->session), d->task, transfer->resumer, d->target.key, d->target.named,
		       (uint32_t)d->options->per_host, &transfer->pass);
	if (r == -EHOSTUNREACH)
		return fail(d, CONCD_FAIL_RETRY, -1, "Could not resolve host: %.*s",
			    (int)(strrchr(d->target.key, ':') - d->target.key), d->target.key);
	if (r < 0)
		return r;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS,
			       d->deadline_ns == INT64_MAX ? 0L : to_ms(d->deadline_ns - now_ns()));
	r = transfer_perform(transfer);
	if (r < 0)
		return r; /* transfer_close leaves the gate */
	if (transfer->code != CURLE_OK)
		end = transfer->pass.looking ? GATE_END_UNRESOLVED : GATE_END_CLOSED;
	gate_leave(&transfer->pass, end);
	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &d->status);
	if (transfer->code == CURLE_WRITE_ERROR && d->discarded > DISCARD_MAX)
		return 0;
	return transfer->code == CURLE_OK ? 0 : fail_code(d, transfer->code);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The server sent us elsewhere: make that the target. */
static int redirect(struct download *d, int64_t n_redirects)
{
	struct target next = {0};
	const char *why;
	char *url = NULL;
	int r;

	if (n_redirects >= d->options->max_redirects)
		return fail(d, CONCD_FAIL_PERMANENT, -1, "redirected again after max_redirects = %" PRId64 " times",
			    d->options->max_redirects);
	if (curl_easy_getinfo(d->transfer.easy, CURLINFO_REDIRECT_URL, &url) != CURLE_OK || url == NULL)
		return fail(d, CONCD_FAIL_PERMANENT, -1, "answered %ld without saying where to go", d->status);
	r = target_parse(url, strlen(url), &next, &why);
	if (r == -EINVAL)
		return fail(d, CONCD_FAIL_PERMANENT, -1, "redirects to '%.*s': %s", 100, url, why);
	if (r < 0)
		return r;
	target_fini(&d->target);
	d->target = next;
	return 0;
}

/* What is neither a download nor a redirect. */
static int fail_status(struct download *d)
{
	curl_off_t after_s = 0;

	if (d->status == 429 || d->status == 503)
		(void)curl_easy_getinfo(d->transfer.easy, CURLINFO_RETRY_AFTER, &after_s); /* 0: not said */
	if (after_s > 0)
		return fail(d, CONCD_FAIL_RETRY, after_s * NS_PER_S, "the server answered %ld, try again in %" PRId64 " s",
			    d->status, (int64_t)after_s);
	return fail(d, d->status == 408 || d->status == 429 || d->status >= 500 ? CONCD_FAIL_RETRY : CONCD_FAIL_PERMANENT,
		    -1, "the server answered %ld", d->status);
}

/* A number at *at, which goes on behind it. */
static void put_number(char **at, uint64_t number)
{
	char digits[20], *digit = digits + sizeof(digits);

	do
		*--digit = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	*at = mempcpy(*at, digit, (size_t)(digits + sizeof(digits) - digit));
}

/* Set the result, `STATUS BYTES URL[ FILE]`. Not with printf(): it is a thirtieth of what a small download computes. */
static int give_result(struct download *d, const char *name)
{
	size_t shown_len = strlen(d->target.shown), dir_len = strlen(d->options->dir), name_len = strlen(name);
	char *text = malloc(2 * 20 + 4 + shown_len + dir_len + name_len), *at = text;
	int r;

	if (text == NULL)
		return -ENOMEM;
	put_number(&at, (uint64_t)d->status);
	*at++ = ' ';
	put_number(&at, (uint64_t)d->bytes);
	*at++ = ' ';
	at = mempcpy(at, d->target.shown, shown_len);
	if (has_file(d)) {
		*at++ = ' ';
		at = mempcpy(at, d->options->dir, dir_len);
		if (at[-1] != '/')
			*at++ = '/';
		at = mempcpy(at, name, name_len);
	}
	r = concd_result(d->task, text, (size_t)(at - text));
	free(text);
	return r;
}

/* The body is complete: name the file and set the result. */
static int finish(struct download *d)
{
	char name[FILE_NAME_SIZE] = "";
	int r;

	if (has_file(d)) {
		r = d->file.is_open ? 0 : file_open(&d->file, d->options->dir, d->name); /* an empty body */
		if (r == 0)
			r = file_keep(&d->file, d->name, name);
		if (r < 0) {
			d->file_error = r;
			return fail_code(d, CURLE_WRITE_ERROR);
		}
	}
	return give_result(d, name);
}

CONCD_YIELDS static int download(struct download *d)
{
	int r;

	r = set_options(d);
	if (r < 0)
		return r;
	for (int64_t n_redirects = 0;; n_redirects++) {
		r = exchange(d);
		if (r < 0)
			return r;
		if (!is_redirect(d->status))
			break;
		r = redirect(d, n_redirects);
		if (r < 0)
			return r;
	}
	return d->status >= 200 && d->status <= 299 ? finish(d) : fail_status(d);
}

/* The input as messages may show it. */
static int fail_input(struct concd_task *task, const char *input, size_t len, const char *why)
{
	char shown[101];
	size_t i;

	for (i = 0; i < len && i < sizeof(shown) - 1; i++)
		shown[i] = input[i] >= ' ' && input[i] <= '~' ? input[i] : '?';
	shown[i] = '\0';
	return concd_fail(task, CONCD_FAIL_INPUT, "'%s%s': %s", shown, i < len ? "..." : "", why);
}

int download_run(struct concd_task *task, struct session *session, const struct download_options *options)
{
	struct download *d;
	const char *input, *why;
	size_t len;
	int r;

	if (options->dir[0] != '\0' && options->dir[0] != '/')
		return concd_fail(task, CONCD_FAIL_PERMANENT, "dir = '%s' is not an absolute path", options->dir);
	d = calloc(1, sizeof(*d)); /* not on the stack, which may be small */
	if (d == NULL)
		return -ENOMEM;
	d->task = task;
	d->options = options;
	d->deadline_ns = INT64_MAX;
	if (options->timeout_ns > 0 && __builtin_add_overflow(now_ns(), options->timeout_ns, &d->deadline_ns))
		d->deadline_ns = INT64_MAX;
	input = concd_input(task, &len);
	r = target_parse(input, len, &d->target, &why);
	if (r == -EINVAL)
		r = fail_input(task, input, len, why);
	if (r == 0) {
		file_name_from_path(d->target.path, d->name);
		r = transfer_open(&d->transfer, session, task);
	}
	if (r == 0)
		r = download(d);
	transfer_close(&d->transfer);
	file_drop(&d->file);
	target_fini(&d->target);
	free(d);
	return r;
}
