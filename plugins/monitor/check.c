/* One look at a URL or a TCP address (see check.h). */
#include "check.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../downloader/session.h"

#define BODY_MAX 65536 /* so much of an answer's body is read; beyond it the connection is closed */
#define HOST_MAX 255
#define NS_PER_S INT64_C(1000000000)

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

__attribute__((format(printf, 3, 4))) static void found(struct check *check, bool ok, const char *format, ...)
{
	va_list ap;

	check->ok = ok;
	va_start(ap, format);
	(void)vsnprintf(check->text, sizeof(check->text), format, ap); /* cut where it is long */
	va_end(ap);
}

/* ---- What is looked at ---- */

static bool port_is_good(const char *port, size_t len)
{
	unsigned value = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (port[i] < '0' || port[i] > '9')
			return false;
		value = value * 10 + (unsigned)(port[i] - '0');
	}
	return value > 0 && value < 65536;
}

static int parse_address(const char *text, size_t len, struct check_target *target, const char **ret_why)
{
	const char *colon = memrchr(text, ':', len), *host = text;
	size_t host_len = colon ? (size_t)(colon - text) : 0, port_len = colon ? len - host_len - 1 : 0;
	bool bracketed = host_len > 2 && host[0] == '[' && host[host_len - 1] == ']';

	*ret_why = "neither http://HOST/PATH nor https://HOST/PATH nor HOST:PORT";
	if (host_len == 0 || host_len > HOST_MAX || !port_is_good(colon + 1, port_len))
		return -EINVAL;
	for (size_t i = 0; i < host_len; i++)
		if (host[i] <= ' ' || host[i] > '~' || host[i] == '/' || (host[i] == ':' && !bracketed))
			return -EINVAL;
	target->shown = strndup(text, len);
	target->host = bracketed ? strndup(host + 1, host_len - 2) : strndup(host, host_len);
	target->port = strndup(colon + 1, port_len);
	return target->shown && target->host && target->port ? 0 : -ENOMEM;
}

int check_target_parse(const char *text, size_t len, struct check_target *ret_target, const char **ret_why)
{
	struct check_target target = {0};
	int r;

	target.is_url = memmem(text, len, "://", 3) != NULL;
	r = target.is_url ? target_parse(text, len, &target.url, ret_why) : parse_address(text, len, &target, ret_why);
	if (r == 0 && target.is_url && (target.shown = strdup(target.url.shown)) == NULL)
		r = -ENOMEM;
	if (r < 0) {
		check_target_fini(&target);
		return r;
	}
	*ret_target = target;
	return 0;
}

void check_target_fini(struct check_target *target)
{
	target_fini(&target->url);
	free(target->shown);
	free(target->host);
	free(target->port);
	*target = (struct check_target){0};
}

/* ---- A URL ---- */

/* libcurl's callback, on the loop's stack. The body is of no interest: it is read so far that the server is not cut off. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	size_t *seen = arg;

	(void)data;
	*seen += size * n;
	return *seen > BODY_MAX ? 0 : size * n;
}

static long to_ms(int64_t ns)
{
	int64_t ms = ns / 1000000;

	return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (long)ms; /* 0 would mean none */
}

/* Options that copy text may fail, for want of memory only; the others cannot. */
static int set_options(struct transfer *transfer, const struct check_target *target, const struct check_options *options,
		       size_t *seen)
{
	CURL *easy = transfer->easy;

	transfer->is_special = options->ca_file[0] != '\0';
	if (curl_easy_setopt(easy, CURLOPT_URL, target->url.url) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent) != CURLE_OK ||
	    (options->ca_file[0] != '\0' && curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) != CURLE_OK))
		return -ENOMEM;
	(void)curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* the name is a part of what is checked */
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, to_ms(options->timeout_ns));
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, seen);
	return 0;
}

static void judge_answer(const struct transfer *transfer, const struct check_options *options, size_t seen,
			 struct check *check)
{
	bool cut = transfer->code == CURLE_WRITE_ERROR && seen > BODY_MAX;
	long status = 0;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (transfer->code != CURLE_OK && !cut)
		found(check, false, "%s",
		      transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(transfer->code));
	else if (options->status > 0)
		found(check, status == options->status, status == options->status ? "%ld" : "%ld, not %ld", status,
		      (long)options->status);
	else
		found(check, status < 400, "%ld", status);
}

static int exchange(struct transfer *transfer, const struct check_target *target, const struct check_options *options,
		    struct check *check)
{
	enum gate_end end = GATE_END_CLOSED;
	size_t seen = 0;
	int r = set_options(transfer, target, options, &seen);

	if (r < 0)
		return r;
	r = gate_enter(session_gate(transfer->session), transfer->task, transfer->resumer, target->url.key,
		       target->url.named, 0, &transfer->pass);
	if (r == -EHOSTUNREACH) {
		found(check, false, "Could not resolve host");
		return 0;
	}
	if (r < 0)
		return r;
	transfer->pass.fresh = transfer->pass.forbid_reuse = true; /* a kept connection says nothing of new ones */
	r = transfer_perform(transfer);
	if (r < 0)
		return r; /* transfer_close leaves the gate */
	if (transfer->code != CURLE_OK && transfer->pass.looking)
		end = GATE_END_UNRESOLVED;
	gate_leave(&transfer->pass, end);
	judge_answer(transfer, options, seen, check);
	return 0;
}

CONCD_YIELDS static int check_url(struct concd_task *task, struct session *session, const struct check_target *target,
				  const struct check_options *options, struct check *check)
{
	struct transfer transfer = {0};
	int r = transfer_open(&transfer, session, task);

	if (r == 0)
		r = exchange(&transfer, target, options, check);
	transfer_close(&transfer);
	return r;
}

/* ---- A TCP address ---- */

struct lookup {
	const struct check_target *target;
	struct addrinfo *found;
	int error; /* of getaddrinfo() */
};

static void look_up(struct lookup *lookup, int flags)
{
	const struct addrinfo hints = { .ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };

	lookup->error = getaddrinfo(lookup->target->host, lookup->target->port, &hints, &lookup->found);
}

/* On a helper thread: it may wait for a name server. */
static void on_look_up(void *arg)
{
	look_up(arg, AI_ADDRCONFIG);
}

CONCD_YIELDS static int connect_to(struct concd_task *task, const struct addrinfo *address, int64_t left_ns,
				   struct check *check)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol), r = 0;
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0 || (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)) {
		error = errno;
	} else {
		r = concd_wait_fd(task, fd, CONCD_WRITE, left_ns);
		if (r > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		else if (r == -ETIMEDOUT)
			error = ETIMEDOUT;
	}
	if (fd >= 0)
		(void)close(fd); /* nothing was written */
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	found(check, error == 0, "%s", error == 0 ? "connected" : strerror(error));
	return 0;
}

CONCD_YIELDS static int check_address(struct concd_task *task, const struct check_target *target,
				      const struct check_options *options, struct check *check)
{
	struct lookup lookup = { .target = target };
	int64_t deadline_ns = now_ns() + options->timeout_ns;
	int r = 0;

	look_up(&lookup, AI_NUMERICHOST);
	if (lookup.error != 0)
		r = concd_offload(task, on_look_up, &lookup);
	if (r < 0)
		return r;
	if (lookup.error != 0) {
		found(check, false, "Could not resolve host: %s", gai_strerror(lookup.error));
		return 0;
	}
	found(check, false, "its name took longer than the timeout");
	for (const struct addrinfo *at = lookup.found; at && r == 0 && !check->ok; at = at->ai_next) {
		int64_t left_ns = deadline_ns - now_ns();

		if (left_ns <= 0)
			break;
		r = connect_to(task, at, left_ns, check);
	}
	freeaddrinfo(lookup.found);
	return r;
}

int check_run(struct concd_task *task, struct session *session, const struct check_target *target,
	      const struct check_options *options, struct check *ret_check)
{
	int64_t begin_ns = now_ns();
	struct check check = { .ok = false };
	int r = target->is_url ? check_url(task, session, target, options, &check) :
				 check_address(task, target, options, &check);

	if (r < 0)
		return r;
	check.took_ns = now_ns() - begin_ns;
	*ret_check = check;
	return 0;
}
