/*
 * libcurl's multi interface with a single transfer, because its poll takes one more descriptor: that
 * of an interruption. Each redirect is a request of its own. What curl does by itself then is speak
 * HTTP and TLS; where we go, what we take and when we give up is decided here.
 */
#include "image/http.h"

#include "base/mem.h"
#include "base/number.h"
#include "image/cancel.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_TIMEOUT_S 30L
#define POLL_MS		  1000
#define IGNORED_MAX	  ((size_t)1 << 20) /* of the page that comes with an error or a redirect */

struct transfer {
	const struct http_request *request;
	CURL *curl;
	const char *url; /* of this hop */
	bool begun;
	bool failed; /* *err has the reason */
	size_t ignored;
	char complaint[CURL_ERROR_SIZE];
	struct err *err;
};

static const char *header(CURL *curl, const char *name)
{
	struct curl_header *found;

	return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value
										      : "";
}

static long status_of(CURL *curl)
{
	long status = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* "bytes 100-199/200" or ".../ *" (RFC 9110, 14.4). */
static void read_range(struct http_answer *answer, const char *text)
{
	uint64_t last;

	if (!number_skip(&text, "bytes ") || !number_take(&text, 10, INT64_MAX, &answer->start) ||
	    !number_skip(&text, "-") || !number_take(&text, 10, INT64_MAX, &last) ||
	    !number_skip(&text, "/"))
		return;
	answer->has_start = true;
	if (!number_take(&text, 10, INT64_MAX, &answer->total))
		answer->total = 0;
}

static int begin(struct transfer *t)
{
	struct http_answer answer = {.status = status_of(t->curl),
				     .url = t->url,
				     .type = header(t->curl, "Content-Type"),
				     .validator = header(t->curl, "ETag")};
	curl_off_t length = -1;

	if (answer.validator[0] != '"') /* a weak one says nothing about bytes */
		answer.validator = header(t->curl, "Last-Modified");
	if (curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
	    length >= 0) {
		answer.has_length = true;
		answer.length = (uint64_t)length;
	}
	if (answer.status == 206)
		read_range(&answer, header(t->curl, "Content-Range"));
	t->begun = true;
	return t->request->begin(t->request->ctx, &answer, t->err);
}

static bool is_content(long status)
{
	return status == 200 || status == 206;
}

/* Returning less than it was given makes curl give up. */
static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
	struct transfer *t = ctx;
	size_t length = size * count;

	if (!is_content(status_of(t->curl))) {
		t->ignored += length;
		return t->ignored > IGNORED_MAX ? 0 : length;
	}
	if (length > 0 && ((!t->begun && begin(t) < 0) ||
			   t->request->data(t->request->ctx, data, length, t->err) < 0)) {
		t->failed = true;
		return 0;
	}
	return length;
}

static long stall_limit(void)
{
	const char *text = getenv("DXVM_FETCH_STALL");
	uint64_t seconds;

	return text && number_take(&text, 10, 3600, &seconds) && *text == '\0' && seconds > 0
		   ? (long)seconds
		   : HTTP_STALL_S;
}

static const char *certificates(void)
{
	static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "NIX_SSL_CERT_FILE"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *path = getenv(names[i]);

		if (path && path[0])
			return path;
	}
	return NULL;
}

static struct curl_slist *set_range(struct transfer *t)
{
	const struct http_request *request = t->request;
	struct curl_slist *headers = NULL;

	if (request->offset == 0)
		return NULL;
	auto_free char *range =
	    xasprintf("Range: bytes=%llu-", (unsigned long long)request->offset);
	headers = curl_slist_append(headers, range);
	if (request->validator && request->validator[0]) {
		auto_free char *condition = xasprintf("If-Range: %s", request->validator);

		headers = curl_slist_append(headers, condition);
	}
	(void)curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
	return headers;
}

static void set_options(struct transfer *t)
{
	const char *bundle = certificates();

	(void)curl_easy_setopt(t->curl, CURLOPT_URL, t->url);
	(void)curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "dxvm");
	(void)curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	(void)curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, stall_limit());
	(void)curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, t->complaint);
	(void)curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_data);
	(void)curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
	if (bundle)
		(void)curl_easy_setopt(t->curl, CURLOPT_CAINFO, bundle);
}

/* Until the transfer ended; -1 when we are interrupted. */
static int drive(struct transfer *t, CURLM *multi, CURLcode *ret_code)
{
	struct curl_waitfd interruption = {.fd = cancel_fd(), .events = CURL_WAIT_POLLIN};
	int running = 1;
	int left;

	while (running) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return err_set(t->err, ERR_SYSTEM, "%s: libcurl failed", t->url);
		if (cancel_check(t->err) < 0)
			return -1;
		if (running)
			(void)curl_multi_poll(multi, &interruption, cancel_fd() >= 0 ? 1 : 0,
					      POLL_MS, NULL);
	}
	const CURLMsg *message = curl_multi_info_read(multi, &left);
	*ret_code = message ? message->data.result : CURLE_FAILED_INIT;
	return 0;
}

static enum http_end judge_code(struct transfer *t, CURLcode code)
{
	const char *why = t->complaint[0] ? t->complaint : curl_easy_strerror(code);

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		(void)err_set(t->err, ERR_SYSTEM, "%s: %s", t->url, why);
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		(void)err_set(t->err, ERR_SYSTEM, "%s: nothing came for %ld seconds", t->url,
			      stall_limit());
		return t->begun ? HTTP_AGAIN : HTTP_UNREACHABLE;
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_WRITE_ERROR: /* too much of a page that nobody wanted */
		(void)err_set(t->err, ERR_SYSTEM, "%s: %s", t->url, why);
		return HTTP_AGAIN;
	case CURLE_SSL_CACERT_BADFILE:
		(void)err_set(t->err, ERR_SYSTEM, "%s: no certificates can be read from %s", t->url,
			      certificates() ? certificates() : "the usual place");
		return HTTP_REFUSED;
	case CURLE_PEER_FAILED_VERIFICATION:
		(void)err_set(
		    t->err, ERR_SYSTEM,
		    "%s: %s (behind a proxy with certificates of its own, name their file in "
		    "CURL_CA_BUNDLE)",
		    t->url, why);
		return HTTP_REFUSED;
	default:
		(void)err_set(t->err, ERR_SYSTEM, "%s: %s", t->url, why);
		return HTTP_REFUSED;
	}
}

static enum http_end judge_status(struct transfer *t, long status)
{
	bool busy = status >= 500 || status == 408 || status == 429;

	if (status == 416 && t->request->offset > 0) {
		(void)err_set(t->err, ERR_PROTOCOL, "%s: nothing there from byte %llu on", t->url,
			      (unsigned long long)t->request->offset);
		return HTTP_RANGE;
	}
	(void)err_set(t->err, status == 404 || status == 410 ? ERR_NOT_FOUND : ERR_SYSTEM,
		      "%s: the server answers %ld%s", t->url, status,
		      status == 404 || status == 410 ? ", there is no such file"
		      : status == 407		     ? ", the proxy wants a name and password"
						     : "");
	return busy ? HTTP_AGAIN : HTTP_REFUSED;
}

/* One request. *ret_next is where a redirect leads, the caller's, or NULL. */
static enum http_end hop(struct transfer *t, CURLM *multi, char **ret_next)
{
	CURLcode code = CURLE_FAILED_INIT;
	char *next = NULL;

	set_options(t);
	struct curl_slist *headers = set_range(t);
	(void)curl_multi_add_handle(multi, t->curl);
	int driven = drive(t, multi, &code);
	(void)curl_multi_remove_handle(multi, t->curl);
	curl_slist_free_all(headers);
	if (driven < 0 || t->failed)
		return HTTP_REFUSED;
	long status = status_of(t->curl);
	if (code == CURLE_WRITE_ERROR && status >= 400)
		return judge_status(t, status);
	if (code != CURLE_OK)
		return judge_code(t, code);
	if (status >= 300 && status < 400) {
		(void)curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &next);
		if (next)
			*ret_next = xstrdup(next);
	}
	if (!next && !is_content(status))
		return judge_status(t, status);
	if (!next && !t->begun && begin(t) < 0) /* there was no content */
		return HTTP_REFUSED;
	return HTTP_DONE;
}

static int check_redirect(const char *from, const char *to, int hops, struct err *err)
{
	if (hops >= HTTP_HOPS_MAX)
		return err_set(err, ERR_PROTOCOL, "%s: more than %d redirects, the last to %s",
			       from, HTTP_HOPS_MAX, to);
	if (strncasecmp(from, "https://", 8) == 0 && strncasecmp(to, "https://", 8) != 0)
		return err_set(err, ERR_PROTOCOL,
			       "%s redirects to %s: refused, because that is not https", from, to);
	return 0;
}

enum http_end http_get(const struct http_request *request, struct err *err)
{
	static bool initialized; /* libcurl's own state is global too */
	auto_free char *url = xstrdup(request->url);
	struct transfer t = {.request = request, .err = err};
	enum http_end end = HTTP_DONE;

	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)err_set(err, ERR_SYSTEM, "libcurl cannot start");
		return HTTP_REFUSED;
	}
	initialized = true;
	CURLM *multi = curl_multi_init();
	t.curl = curl_easy_init();
	if (!multi || !t.curl)
		abort(); /* out of memory */
	for (int hops = 0; end == HTTP_DONE; hops++) {
		char *next = NULL;

		t.url = url;
		end = hop(&t, multi, &next);
		if (!next)
			break;
		if (check_redirect(url, next, hops, err) < 0)
			end = HTTP_REFUSED;
		else
			curl_easy_reset(t.curl);
		free(url);
		url = next;
	}
	curl_easy_cleanup(t.curl);
	(void)curl_multi_cleanup(multi);
	return end;
}
