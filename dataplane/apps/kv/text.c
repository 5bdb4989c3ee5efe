// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/text.h"

#include "apps/kv/copy.h"
#include "apps/kv/number.h"
#include "apps/kv/stats.h"

#include <emmintrin.h>

enum {
	TOKENS_MAX = 8,	  /* what counts; a line may have more */
	COPIED_MAX = 512, /* longer values are sent from where they are */
	HEAD_MAX = 6,	  /* "VALUE " */
	CAS_MAX = 1 + KV_DECIMAL_MAX,
	END_MAX = 5, /* "END\r\n" */
};

_Static_assert(HEAD_MAX + KV_KEY_MAX + KV_SUFFIX_MAX + CAS_MAX + COPIED_MAX + KV_TAIL + END_MAX <= KV_RESERVE_MAX,
	       "a copied value fits one reservation");

struct token {
	const uint8_t *text;
	size_t length;
};

struct line {
	struct token token[TOKENS_MAX];
	unsigned count; /* may be more than TOKENS_MAX */
	struct token last;
};

/* ---- replies ---- */

static inline void say(struct kv_session *session, const char *text, size_t length)
{
	kv_copy(kv_output_reserve(&session->output, length), (const uint8_t *)text, length);
	kv_output_commit(&session->output, length);
}

#define SAY(session, text) say(session, text "\r\n", sizeof(text "\r\n") - 1)

/* "noreply" holds its tongue for errors, too. */
#define REPLY(session, text)                   \
	do {                                   \
		if (!(session)->pending.quiet) \
			SAY(session, text);    \
	} while (0)

static void reply_result(struct kv_session *session, enum kv_result result)
{
	switch (result) {
	case KV_DONE:
		REPLY(session, "STORED");
		break;
	case KV_NOT_STORED:
		REPLY(session, "NOT_STORED");
		break;
	case KV_EXISTS:
		REPLY(session, "EXISTS");
		break;
	case KV_NOT_FOUND:
		REPLY(session, "NOT_FOUND");
		break;
	case KV_TOO_LARGE:
		REPLY(session, "SERVER_ERROR object too large for cache");
		break;
	case KV_NO_MEMORY:
		REPLY(session, "SERVER_ERROR out of memory storing object");
		break;
	case KV_NON_NUMERIC:
		REPLY(session, "CLIENT_ERROR cannot increment or decrement non-numeric value");
		break;
	}
}

/* ---- get ---- */

/* The item's text up to and with the line's end, which becomes " CAS\r\n". */
static uint8_t *put_value_line(uint8_t *at, const struct kv_item *item, bool with_cas)
{
	const size_t head = kv_item_head_bytes(item);

	memcpy(at, "VALUE ", HEAD_MAX);
	at += HEAD_MAX;
	memcpy(at, item->data, head);
	at += head;
	if (with_cas) {
		at[-2] = ' ';
		at += kv_number_format(at - 1, item->cas) - 1;
		*at++ = '\r';
		*at++ = '\n';
	}
	return at;
}

/* `end`: bytes of "END\r\n" that follow, all or none. */
static inline void reply_copied(struct kv_session *session, const struct kv_item *item, bool with_cas, size_t end)
{
	const size_t text = kv_item_text_bytes(item);
	uint8_t *start = kv_output_reserve(&session->output, HEAD_MAX + text + CAS_MAX + END_MAX), *at = start;

	if (with_cas) {
		at = put_value_line(at, item, true);
		memcpy(at, item->data + kv_item_head_bytes(item), item->value_bytes + (size_t)KV_TAIL);
		at += item->value_bytes + KV_TAIL;
	} else {
		memcpy(at, "VALUE ", HEAD_MAX);
		kv_copy(at + HEAD_MAX, item->data, text);
		at += HEAD_MAX + text;
	}
	memcpy(at, "END\r\n", END_MAX);
	kv_output_commit(&session->output, (size_t)(at - start) + end);
}

/* Takes over a reference. */
static __attribute__((noinline)) void reply_held(struct kv_session *session, struct kv_item *item, bool with_cas,
						 size_t end)
{
	struct kv_output *output = &session->output;
	uint8_t *start = kv_output_reserve(output, KV_RESERVE_MAX);

	kv_output_commit(output, (size_t)(put_value_line(start, item, with_cas) - start));
	kv_output_item(output, item, kv_item_value(item), item->value_bytes + (size_t)KV_TAIL);
	if (end > 0)
		say(session, "END\r\n", END_MAX);
}

/* Replies to one key that was looked up; `last`: nothing follows in the line. */
static inline void reply_key(struct kv_session *session, struct kv_item *item, bool with_cas, bool last)
{
	const struct kv_worker *worker = session->worker;
	const size_t end = last ? END_MAX : 0;

	if (item == NULL) {
		if (last)
			say(session, "END\r\n", END_MAX);
	} else if (item->value_bytes <= COPIED_MAX) {
		reply_copied(session, item, with_cas, end);
		kv_get_end(worker, item);
	} else {
		kv_item_hold(item); /* nobody changes it now */
		kv_get_end(worker, item);
		reply_held(session, item, with_cas, end);
	}
}

/* Returns false if the key cannot be one. */
static bool get_one(struct kv_session *session, const uint8_t *text, size_t length, bool last)
{
	struct kv_worker *worker = session->worker;
	const struct kv_pending *pending = &session->pending;

	if (length > KV_KEY_MAX)
		return false;
	const struct kv_key key = kv_store_key(worker->store, text, length);
	struct kv_item *item =
		pending->touch ? kv_get_and_touch(worker, &key, pending->expires_s) : kv_get(worker, &key);
	kv_count(&worker->counters.requests);
	reply_key(session, item, pending->with_cas, last);
	return true;
}

/* One bit for each of 16 bytes: is it not more than a space? */
static inline unsigned blanks(const uint8_t *at)
{
	const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ')), bytes));
}

/* The first byte that is not more than a space, or `end`. 16 at a time, the last of which may overlap others. */
static inline const uint8_t *find_blank(const uint8_t *at, const uint8_t *end)
{
	enum { BLOCK = 16 };

	if (end - at >= BLOCK) {
		unsigned found = blanks(at);
		while (found == 0) {
			at += BLOCK;
			if (end - at < BLOCK) {
				found = blanks(end - BLOCK);
				return found != 0 ? end - BLOCK + __builtin_ctz(found) : end;
			}
			found = blanks(at);
		}
		return at + __builtin_ctz(found);
	}
	while (at < end && *at > ' ')
		at++;
	return at;
}

/* The end of a token: a space, or a line's end. NULL: it is not there. A key may contain any other byte. */
static const uint8_t *find_token_end(const uint8_t *at, const uint8_t *end)
{
	for (at = find_blank(at, end); at < end; at = find_blank(at + 1, end)) {
		if (*at == ' ' || *at == '\n')
			return at;
		if (*at == '\r') {
			if (at + 1 == end)
				return NULL;
			if (at[1] == '\n')
				return at;
		}
	}
	return NULL;
}

static size_t line_end_bytes(const uint8_t *at)
{
	return *at == '\r' ? 2 : 1;
}

/* The end of a line of keys, without a key before it or with something in it that is none. */
static void end_keys(struct kv_session *session)
{
	if (session->state == KV_NO_KEYS && session->pending.bad_expiry)
		SAY(session, "CLIENT_ERROR invalid exptime argument");
	else if (session->state == KV_NO_KEYS)
		SAY(session, "CLIENT_ERROR bad command line format");
	else if (!session->pending.any_key && !session->pending.touch)
		SAY(session, "ERROR");
	else
		say(session, "END\r\n", END_MAX);
	session->state = KV_HEAD;
}

size_t kv_text_keys(struct kv_session *session, const uint8_t *data, size_t length)
{
	const uint8_t *at = data, *end = data + length;

	while (at < end && !kv_output_full(&session->output)) {
		const uint8_t *stop = find_token_end(at, end);
		if (stop == NULL) {
			/* Offered again; a key that is too long already need not be kept. */
			if (end - at <= KV_KEY_MAX + 1)
				break;
			session->state = KV_NO_KEYS;
			return (size_t)(end - data) - (end[-1] == '\r');
		}
		const bool last = *stop != ' ';
		if (stop > at && session->state == KV_KEYS) {
			session->pending.any_key = true;
			if (!get_one(session, at, (size_t)(stop - at), last))
				session->state = KV_NO_KEYS;
		}
		const bool ended = last && stop > at && session->state == KV_KEYS;
		at = stop + (last ? line_end_bytes(stop) : 1);
		if (ended)
			session->state = KV_HEAD;
		else if (last)
			end_keys(session);
		if (last)
			break;
	}
	return (size_t)(at - data);
}

/* The usual get: one key, and all of the line is there. Returns 0 if it is not that. */
static size_t get_quickly(struct kv_session *session, const uint8_t *data, size_t length)
{
	struct kv_worker *worker = session->worker;
	const uint8_t *name = data + 4, *end = data + length, *stop = find_blank(name, end);
	const size_t name_bytes = (size_t)(stop - name);

	if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n' || name_bytes - 1 >= KV_KEY_MAX)
		return 0;
	const struct kv_key key = kv_store_key(worker->store, name, name_bytes);
	struct kv_item *item = kv_get(worker, &key);
	kv_count(&worker->counters.requests);
	reply_key(session, item, false, true);
	return (size_t)(stop - data) + 2;
}

static __attribute__((noinline)) size_t begin_keys(struct kv_session *session, const uint8_t *data, size_t length,
						   size_t skip, bool with_cas)
{
	struct kv_pending *pending = &session->pending;

	pending->with_cas = with_cas;
	pending->touch = false;
	pending->any_key = false;
	pending->bad_expiry = false;
	session->state = KV_KEYS;
	return skip + kv_text_keys(session, data + skip, length - skip);
}

/* gat and gats: the expiry time comes before the keys. */
static __attribute__((noinline)) size_t begin_touched_keys(struct kv_session *session, const uint8_t *data,
							   size_t length, size_t skip)
{
	struct kv_pending *pending = &session->pending;
	const uint8_t *at = data + skip, *end = data + (length < KV_LINE_MAX ? length : KV_LINE_MAX);
	int64_t expiry = 0;

	while (at < end && *at == ' ')
		at++;
	const uint8_t *stop = find_token_end(at, end);
	if (stop == NULL) {
		if (length < KV_LINE_MAX)
			return 0;
		session->state = KV_ENDED;
		return length;
	}
	if (stop == at) { /* no argument at all */
		SAY(session, "ERROR");
		return (size_t)(stop - data) + line_end_bytes(stop);
	}
	pending->with_cas = data[3] == 's';
	pending->touch = true;
	pending->any_key = false;
	pending->bad_expiry = !kv_number_signed(at, (size_t)(stop - at), &expiry);
	pending->expires_s = kv_expiry(session->worker, expiry);
	session->state = pending->bad_expiry ? KV_NO_KEYS : KV_KEYS;
	return (size_t)(stop - data) + kv_text_keys(session, stop, length - (size_t)(stop - data));
}

/* ---- storing ---- */

void kv_text_filled(struct kv_session *session, struct kv_item *item)
{
	struct kv_pending *pending = &session->pending;
	uint64_t cas = pending->cas;

	kv_count(&session->worker->counters.requests);
	if (memcmp(kv_item_value(item) + item->value_bytes, "\r\n", KV_TAIL) != 0) {
		kv_store_release(session->worker->store, item);
		REPLY(session, "CLIENT_ERROR bad data chunk");
		return;
	}
	reply_result(session, kv_store_end(session->worker, item, (enum kv_mode)pending->mode, pending->compare, &cas));
}

/* Makes the item and takes of its value what is there. Returns how many bytes. */
static size_t begin_value(struct kv_session *session, const struct token *name, uint32_t flags, int64_t expiry,
			  uint64_t value_bytes, const uint8_t *data, size_t length)
{
	struct kv_worker *worker = session->worker;
	struct kv_pending *pending = &session->pending;
	const struct kv_key key = kv_store_key(worker->store, name->text, name->length);
	const enum kv_result result = kv_store_begin(worker, &key, (enum kv_mode)pending->mode, flags,
						     kv_expiry(worker, expiry), value_bytes, &pending->item);

	if (result != KV_DONE) {
		kv_count(&worker->counters.requests);
		reply_result(session, result);
		session->swallow = value_bytes + KV_TAIL;
		session->state = KV_SWALLOW;
		return 0;
	}
	pending->filled = 0;
	return kv_session_fill(session, data, length);
}

static size_t store(struct kv_session *session, const struct line *line, enum kv_mode mode, const uint8_t *data,
		    size_t length)
{
	struct kv_pending *pending = &session->pending;
	const struct token *token = line->token;
	uint64_t flags;
	int64_t expiry, bytes;

	pending->mode = (uint8_t)mode;
	pending->cas = 0;
	if (token[1].length > KV_KEY_MAX || !kv_number_unsigned(token[2].text, token[2].length, &flags) ||
	    !kv_number_signed(token[3].text, token[3].length, &expiry) ||
	    !kv_number_signed(token[4].text, token[4].length, &bytes) || bytes < 0 || bytes > INT32_MAX - KV_TAIL ||
	    (pending->compare && !kv_number_unsigned(token[5].text, token[5].length, &pending->cas))) {
		REPLY(session, "CLIENT_ERROR bad command line format");
		return 0;
	}
	/* What does not fit the flags is cut off, as memcached does. */
	return begin_value(session, &token[1], (uint32_t)flags, expiry, (uint64_t)bytes, data, length);
}

/* Up to nine digits at *at, which `stop` must follow; moves behind that. */
static inline bool read_plain(const uint8_t **at, const uint8_t *end, uint8_t stop, uint32_t *value)
{
	const uint8_t *first = *at, *digit = first;
	uint32_t sum = 0;

	for (; digit < end && (uint8_t)(*digit - '0') <= 9; digit++)
		sum = sum * 10 + (uint32_t)(*digit - '0');
	if (digit == first || digit - first > 9 || digit == end || *digit != stop)
		return false;
	*at = digit + 1;
	*value = sum;
	return true;
}

/* The usual set: plain numbers and one space between them. Returns 0 if it is not that. */
static __attribute__((noinline)) size_t set_quickly(struct kv_session *session, const uint8_t *data, size_t length)
{
	struct kv_pending *pending = &session->pending;
	const uint8_t *end = data + length, *at = find_blank(data + 4, end);
	const struct token name = {data + 4, (size_t)(at - data) - 4};
	uint32_t flags, expiry, bytes;

	if (at == end || *at++ != ' ' || name.length - 1 >= KV_KEY_MAX || !read_plain(&at, end, ' ', &flags) ||
	    !read_plain(&at, end, ' ', &expiry) || !read_plain(&at, end, '\r', &bytes) || at == end || *at++ != '\n')
		return 0;
	if (bytes <= KV_COPY_MAX && (size_t)(end - at) >= bytes + (size_t)KV_TAIL && at[bytes] == '\r' &&
	    at[bytes + 1] == '\n') {
		const struct kv_key key = kv_store_key(session->worker->store, name.text, name.length);
		if (kv_set_over(session->worker, &key, flags, kv_expiry(session->worker, expiry), at, bytes)) {
			kv_count(&session->worker->counters.requests);
			SAY(session, "STORED");
			return (size_t)(at - data) + bytes + KV_TAIL;
		}
	}
	pending->mode = KV_SET;
	pending->cas = 0;
	pending->compare = false;
	pending->quiet = false;
	return (size_t)(at - data) + begin_value(session, &name, flags, expiry, bytes, at, (size_t)(end - at));
}

/* ---- other commands: the line is whole ---- */

static bool is(const struct token *token, const char *text, size_t length)
{
	return token->length == length && memcmp(token->text, text, length) == 0;
}

#define IS(token, text) is(token, text, sizeof(text) - 1)

static void delete_key(struct kv_session *session, const struct line *line)
{
	const struct token *name = &line->token[1];
	const bool zero = line->count > 2 && IS(&line->token[2], "0");

	if (!(line->count == 2 || (line->count == 3 && (zero || session->pending.quiet)) ||
	      (line->count == 4 && zero && session->pending.quiet))) {
		REPLY(session, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
		return;
	}
	if (name->length > KV_KEY_MAX) {
		REPLY(session, "CLIENT_ERROR bad command line format");
		return;
	}
	const struct kv_key key = kv_store_key(session->worker->store, name->text, name->length);
	if (kv_delete(session->worker, &key, 0) == KV_DONE)
		REPLY(session, "DELETED");
	else
		REPLY(session, "NOT_FOUND");
}

static void touch_key(struct kv_session *session, const struct line *line)
{
	const struct token *name = &line->token[1];
	int64_t expiry;

	if (name->length > KV_KEY_MAX) {
		REPLY(session, "CLIENT_ERROR bad command line format");
		return;
	}
	if (!kv_number_signed(line->token[2].text, line->token[2].length, &expiry)) {
		REPLY(session, "CLIENT_ERROR invalid exptime argument");
		return;
	}
	const struct kv_key key = kv_store_key(session->worker->store, name->text, name->length);
	if (kv_touch(session->worker, &key, kv_expiry(session->worker, expiry)) == KV_DONE)
		REPLY(session, "TOUCHED");
	else
		REPLY(session, "NOT_FOUND");
}

static void add_to_key(struct kv_session *session, const struct line *line, bool increment)
{
	const struct token *name = &line->token[1];
	uint64_t delta, value, cas = 0;

	if (name->length > KV_KEY_MAX) {
		REPLY(session, "CLIENT_ERROR bad command line format");
		return;
	}
	if (!kv_number_unsigned(line->token[2].text, line->token[2].length, &delta)) {
		REPLY(session, "CLIENT_ERROR invalid numeric delta argument");
		return;
	}
	const struct kv_key key = kv_store_key(session->worker->store, name->text, name->length);
	const enum kv_result result = kv_arithmetic(session->worker, &key, increment, delta, &cas, &value);
	if (result == KV_NO_MEMORY) {
		REPLY(session, "SERVER_ERROR out of memory");
		return;
	}
	if (result != KV_DONE) {
		reply_result(session, result);
		return;
	}
	if (session->pending.quiet)
		return;
	uint8_t text[KV_DECIMAL_MAX + KV_TAIL];
	const size_t length = kv_number_format(text, value);
	memcpy(text + length, "\r\n", KV_TAIL);
	kv_output_write(&session->output, text, length + KV_TAIL);
}

static void flush_all(struct kv_session *session, const struct line *line)
{
	int64_t delay = 0;

	if (line->count != (session->pending.quiet ? 2U : 1U) &&
	    !kv_number_signed(line->token[1].text, line->token[1].length, &delay)) {
		REPLY(session, "CLIENT_ERROR invalid exptime argument");
		return;
	}
	kv_flush(session->worker, delay);
	REPLY(session, "OK");
}

static void set_verbosity(struct kv_session *session, const struct line *line)
{
	uint64_t level; /* there is nothing more to say at any */

	if (kv_number_unsigned(line->token[1].text, line->token[1].length, &level))
		REPLY(session, "OK");
	else
		REPLY(session, "CLIENT_ERROR bad command line format");
}

static void write_stat(void *argument, const char *name, const char *value)
{
	struct kv_output *output = argument;

	kv_output_write(output, "STAT ", 5);
	kv_output_write(output, name, strlen(name));
	kv_output_write(output, " ", 1);
	kv_output_write(output, value, strlen(value));
	kv_output_write(output, "\r\n", 2);
}

static void show_stats(struct kv_session *session, const struct line *line)
{
	const struct token none = {NULL, 0}, *what = line->count > 1 ? &line->token[1] : &none;

	if (IS(what, "reset")) {
		kv_stats_reset(session->worker->shared);
		SAY(session, "RESET");
	} else if (kv_stats_show(session->worker, what->text, what->length, write_stat, &session->output)) {
		say(session, "END\r\n", END_MAX);
	} else {
		SAY(session, "ERROR");
	}
}

/* ---- dispatch ---- */

enum command {
	SET,
	ADD,
	REPLACE,
	APPEND,
	PREPEND,
	CAS,
	DELETE,
	INCREMENT,
	DECREMENT,
	TOUCH,
	FLUSH_ALL,
	VERBOSITY,
	STATS,
	VERSION,
	QUIT,
	COMMANDS
};

static const struct {
	const char *name;
	uint8_t length;
	uint8_t least, most; /* tokens, the name among them */
} commands[COMMANDS] = {
	[SET] = {"set", 3, 5, 6},
	[ADD] = {"add", 3, 5, 6},
	[REPLACE] = {"replace", 7, 5, 6},
	[APPEND] = {"append", 6, 5, 6},
	[PREPEND] = {"prepend", 7, 5, 6},
	[CAS] = {"cas", 3, 6, 7},
	[DELETE] = {"delete", 6, 2, 4},
	[INCREMENT] = {"incr", 4, 3, 4},
	[DECREMENT] = {"decr", 4, 3, 4},
	[TOUCH] = {"touch", 5, 3, 4},
	[FLUSH_ALL] = {"flush_all", 9, 1, 3},
	[VERBOSITY] = {"verbosity", 9, 2, 3},
	[STATS] = {"stats", 5, 1, UINT8_MAX},
	[VERSION] = {"version", 7, 1, UINT8_MAX},
	[QUIT] = {"quit", 4, 1, UINT8_MAX},
};

static enum command find_command(const struct token *name)
{
	unsigned found = 0;

	while (found < COMMANDS && !is(name, commands[found].name, commands[found].length))
		found++;
	return (enum command)found;
}

/* All that are only a line. */
static void execute(struct kv_session *session, const struct line *line, enum command command)
{
	kv_count(&session->worker->counters.requests);
	switch (command) {
	case DELETE:
		delete_key(session, line);
		break;
	case INCREMENT:
	case DECREMENT:
		add_to_key(session, line, command == INCREMENT);
		break;
	case TOUCH:
		touch_key(session, line);
		break;
	case FLUSH_ALL:
		flush_all(session, line);
		break;
	case VERBOSITY:
		set_verbosity(session, line);
		break;
	case STATS:
		show_stats(session, line);
		break;
	case VERSION:
		SAY(session, "VERSION " KV_VERSION);
		break;
	default:
		session->state = KV_ENDED;
		break;
	}
}

static void split(struct line *line, const uint8_t *at, const uint8_t *end)
{
	for (;;) {
		while (at < end && *at == ' ')
			at++;
		if (at == end)
			return;
		const uint8_t *space = memchr(at, ' ', (size_t)(end - at));
		const uint8_t *stop = space != NULL ? space : end;
		line->last = (struct token){at, (size_t)(stop - at)};
		if (line->count < TOKENS_MAX)
			line->token[line->count] = line->last;
		line->count++;
		at = stop;
	}
}

/* Returns how many bytes behind the line belong to the request and were taken. */
static size_t run_line(struct kv_session *session, const struct line *line, const uint8_t *data, size_t length)
{
	static const uint8_t modes[] = {[SET] = KV_SET,	      [ADD] = KV_ADD,	      [REPLACE] = KV_REPLACE,
					[APPEND] = KV_APPEND, [PREPEND] = KV_PREPEND, [CAS] = KV_SET};
	const enum command command = line->count > 0 ? find_command(&line->token[0]) : COMMANDS;

	if (command == COMMANDS || line->count < commands[command].least || line->count > commands[command].most) {
		/* Somebody who takes this for a web server is not to hear from it. */
		if (line->count > 0 && line->last.length >= 5 && memcmp(line->last.text, "HTTP/", 5) == 0)
			session->state = KV_ENDED;
		else
			SAY(session, "ERROR");
		return 0;
	}
	session->pending.quiet = command < STATS && IS(&line->last, "noreply");
	session->pending.compare = command == CAS;
	if (command <= CAS)
		return store(session, line, (enum kv_mode)modes[command], data, length);
	execute(session, line, command);
	return 0;
}

static __attribute__((noinline)) size_t take_line(struct kv_session *session, const uint8_t *data, size_t length)
{
	const uint8_t *newline = memchr(data, '\n', length < KV_LINE_MAX ? length : KV_LINE_MAX);
	struct line line = {.count = 0};

	if (newline == NULL) {
		if (length < KV_LINE_MAX)
			return 0;
		session->state = KV_ENDED;
		return length;
	}
	const bool carriage = newline - data > 1 && newline[-1] == '\r';
	const size_t used = (size_t)(newline - data) + 1;
	split(&line, data, newline - carriage);
	return used + run_line(session, &line, data + used, length - used);
}

size_t kv_text_head(struct kv_session *session, const uint8_t *data, size_t length)
{
	size_t used;

	if (length < 5)
		return data[0] == ' ' ? 1 : take_line(session, data, length);
	if (memcmp(data, "get ", 4) == 0) {
		used = get_quickly(session, data, length);
		return used > 0 ? used : begin_keys(session, data, length, 4, false);
	}
	if (memcmp(data, "set ", 4) == 0) {
		used = set_quickly(session, data, length);
		return used > 0 ? used : take_line(session, data, length);
	}
	if (memcmp(data, "gets ", 5) == 0)
		return begin_keys(session, data, length, 5, true);
	if (memcmp(data, "gat ", 4) == 0)
		return begin_touched_keys(session, data, length, 4);
	if (memcmp(data, "gats ", 5) == 0)
		return begin_touched_keys(session, data, length, 5);
	return data[0] == ' ' ? 1 : take_line(session, data, length);
}
