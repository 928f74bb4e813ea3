#pragma once
/*
 * One HTTP request, by libcurl: the only file that knows it. Redirects are followed by hand, at
 * most HTTP_HOPS_MAX, and never from https to http. Proxies come from the environment
 * (https_proxy, no_proxy, ...), the certificates to trust from CURL_CA_BUNDLE or SSL_CERT_FILE,
 * else from the system. A server from which nothing comes for HTTP_STALL_S seconds
 * (DXVM_FETCH_STALL) is given up. An interruption (image/cancel.h) ends it at once.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HOPS_MAX 10
#define HTTP_STALL_S  30

/* What the last server of the chain says before its content. Strings live as long as the call. */
struct http_answer {
	long status;	       /* 200 or 206 */
	const char *url;       /* where the content is, after redirects */
	const char *type;      /* Content-Type, or "" */
	const char *validator; /* a strong ETag, else Last-Modified, else "" */
	bool has_length;       /* of what follows */
	uint64_t length;
	bool has_start;	       /* Content-Range could be read */
	uint64_t start, total; /* of Content-Range; total 0: not told */
};

struct http_request {
	const char *url;
	uint64_t offset; /* ask for what is from there on; 0: for all */
	/* Only if it is still the same as then (If-Range); NULL or "": always. */
	const char *validator;
	/* Called once, before any data. Then data, in order. -1 ends the request. */
	int (*begin)(void *ctx, const struct http_answer *answer, struct err *err);
	int (*data)(void *ctx, const void *data, size_t length, struct err *err);
	void *ctx;
};

enum http_end {
	HTTP_DONE,
	HTTP_AGAIN,	  /* it may work later: connection lost, server busy or stalled */
	HTTP_UNREACHABLE, /* as HTTP_AGAIN, and nobody answered at all */
	HTTP_RANGE,	  /* nothing is there from the offset on (416) */
	HTTP_REFUSED,	  /* it will not work */
};

/* Anything but HTTP_DONE has *err set. */
enum http_end http_get(const struct http_request *request, struct err *err);
