// SPDX-License-Identifier: Apache-2.0
#include "apps/kv/binary.h"

#include "apps/kv/copy.h"
#include "apps/kv/number.h"
#include "apps/kv/stats.h"

enum {
	FLAGS = 4,	  /* extras of a reply with a value */
	COPIED_MAX = 512, /* longer values are sent from where they are */
	NUMBER = 8,
};

enum opcode {
	GET = 0x00,
	SET = 0x01,
	ADD = 0x02,
	REPLACE = 0x03,
	DELETE = 0x04,
	INCREMENT = 0x05,
	DECREMENT = 0x06,
	QUIT = 0x07,
	FLUSH = 0x08,
	GETQ = 0x09,
	NOOP = 0x0a,
	VERSION = 0x0b,
	GETK = 0x0c,
	GETKQ = 0x0d,
	APPEND = 0x0e,
	PREPEND = 0x0f,
	STAT = 0x10,
	SETQ = 0x11,
	ADDQ = 0x12,
	REPLACEQ = 0x13,
	DELETEQ = 0x14,
	INCREMENTQ = 0x15,
	DECREMENTQ = 0x16,
	QUITQ = 0x17,
	FLUSHQ = 0x18,
	APPENDQ = 0x19,
	PREPENDQ = 0x1a,
	TOUCH = 0x1c,
	GAT = 0x1d,
	GATQ = 0x1e,
	GATK = 0x23,
	GATKQ = 0x24,
	OPCODES = 0x25,
};

enum status {
	OK = 0x00,
	NOT_FOUND = 0x01,
	EXISTS = 0x02,
	TOO_LARGE = 0x03,
	INVALID = 0x04,
	NOT_STORED = 0x05,
	NON_NUMERIC = 0x06,
	UNKNOWN = 0x81,
	NO_MEMORY = 0x82,
};

/* What a request must be like, and what it is without quiet and with-key variants. */
enum key_rule { NO_KEY, WITH_KEY, ANY_KEY };

static const struct rule {
	bool known;
	uint8_t extras, extras_or; /* bytes */
	uint8_t key;		   /* enum key_rule */
	bool value;		   /* may follow */
	bool quiet;
	uint8_t base; /* enum opcode */
} rules[OPCODES] = {
	[GET] = {true, 0, 0, WITH_KEY, false, false, GET},
	[GETQ] = {true, 0, 0, WITH_KEY, false, true, GET},
	[GETK] = {true, 0, 0, WITH_KEY, false, false, GET},
	[GETKQ] = {true, 0, 0, WITH_KEY, false, true, GET},
	[GAT] = {true, 4, 4, WITH_KEY, true, false, GET},
	[GATQ] = {true, 4, 4, WITH_KEY, true, true, GET},
	[GATK] = {true, 4, 4, WITH_KEY, true, false, GET},
	[GATKQ] = {true, 4, 4, WITH_KEY, true, true, GET},
	[TOUCH] = {true, 4, 4, WITH_KEY, true, false, TOUCH},
	[SET] = {true, 8, 8, WITH_KEY, true, false, SET},
	[SETQ] = {true, 8, 8, WITH_KEY, true, true, SET},
	[ADD] = {true, 8, 8, WITH_KEY, true, false, ADD},
	[ADDQ] = {true, 8, 8, WITH_KEY, true, true, ADD},
	[REPLACE] = {true, 8, 8, WITH_KEY, true, false, REPLACE},
	[REPLACEQ] = {true, 8, 8, WITH_KEY, true, true, REPLACE},
	[APPEND] = {true, 0, 0, WITH_KEY, true, false, APPEND},
	[APPENDQ] = {true, 0, 0, WITH_KEY, true, true, APPEND},
	[PREPEND] = {true, 0, 0, WITH_KEY, true, false, PREPEND},
	[PREPENDQ] = {true, 0, 0, WITH_KEY, true, true, PREPEND},
	[DELETE] = {true, 0, 0, WITH_KEY, false, false, DELETE},
	[DELETEQ] = {true, 0, 0, WITH_KEY, false, true, DELETE},
	[INCREMENT] = {true, 20, 20, WITH_KEY, false, false, INCREMENT},
	[INCREMENTQ] = {true, 20, 20, WITH_KEY, false, true, INCREMENT},
	[DECREMENT] = {true, 20, 20, WITH_KEY, false, false, DECREMENT},
	[DECREMENTQ] = {true, 20, 20, WITH_KEY, false, true, DECREMENT},
	[QUIT] = {true, 0, 0, NO_KEY, false, false, QUIT},
	[QUITQ] = {true, 0, 0, NO_KEY, false, true, QUIT},
	[FLUSH] = {true, 0, 4, NO_KEY, false, false, FLUSH},
	[FLUSHQ] = {true, 0, 4, NO_KEY, false, true, FLUSH},
	[NOOP] = {true, 0, 0, NO_KEY, false, false, NOOP},
	[VERSION] = {true, 0, 0, NO_KEY, false, false, VERSION},
	[STAT] = {true, 0, 0, ANY_KEY, true, false, STAT},
};

/* A request's header, in this machine's byte order; where its parts are. */
struct request {
	uint8_t opcode;
	uint8_t extras_bytes;
	uint16_t key_bytes;
	uint32_t value_bytes;
	uint32_t opaque; /* as it came */
	uint64_t cas;
	const struct rule *rule;
	const uint8_t *extras;
	const uint8_t *key;
};

static uint16_t big16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t big32(const uint8_t *from)
{
	return __builtin_bswap32(kv_load32(from));
}

static uint64_t big64(const uint8_t *from)
{
	return __builtin_bswap64(kv_load64(from));
}

static void put_big32(uint8_t *to, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(to, &value, sizeof(value));
}

static void put_big64(uint8_t *to, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(to, &value, sizeof(value));
}

/* ---- replies ---- */

struct reply {
	uint8_t opcode;
	enum status status;
	uint32_t extras_bytes, key_bytes, body_bytes; /* the body is all of them and the value */
	uint32_t opaque;
	uint64_t cas;
};

static void put_header(uint8_t *to, const struct reply *reply)
{
	to[0] = KV_BINARY_REPLY;
	to[1] = reply->opcode;
	to[2] = (uint8_t)(reply->key_bytes >> 8);
	to[3] = (uint8_t)reply->key_bytes;
	to[4] = (uint8_t)reply->extras_bytes;
	to[5] = 0; /* data type */
	to[6] = 0;
	to[7] = (uint8_t)reply->status;
	put_big32(to + 8, reply->body_bytes);
	memcpy(to + 12, &reply->opaque, sizeof(reply->opaque));
	put_big64(to + 16, reply->cas);
}

/* A header and a short body. */
static void reply_with(struct kv_session *session, const struct reply *reply, const void *body)
{
	uint8_t *at = kv_output_reserve(&session->output, KV_BINARY_HEADER + (size_t)reply->body_bytes);

	put_header(at, reply);
	kv_copy(at + KV_BINARY_HEADER, body, reply->body_bytes);
	kv_output_commit(&session->output, KV_BINARY_HEADER + (size_t)reply->body_bytes);
}

static const char *status_text(enum status status)
{
	switch (status) {
	case NOT_FOUND:
		return "Not found";
	case EXISTS:
		return "Data exists for key.";
	case TOO_LARGE:
		return "Too large.";
	case INVALID:
		return "Invalid arguments";
	case NOT_STORED:
		return "Not stored.";
	case NON_NUMERIC:
		return "Non-numeric server-side value for incr or decr";
	case NO_MEMORY:
		return "Out of memory";
	default:
		return "Unknown command";
	}
}

/* Errors are told even if the request was a quiet one. */
static void reply_error(struct kv_session *session, uint8_t opcode, uint32_t opaque, enum status status)
{
	const char *text = status_text(status);
	const struct reply reply = {
		.opcode = opcode, .status = status, .body_bytes = (uint32_t)strlen(text), .opaque = opaque};

	reply_with(session, &reply, text);
}

static void reply_done(struct kv_session *session, uint8_t opcode, uint32_t opaque, uint64_t cas)
{
	const struct reply reply = {.opcode = opcode, .opaque = opaque, .cas = cas};

	if (!rules[opcode].quiet)
		reply_with(session, &reply, "");
}

static enum status status_of(enum kv_result result)
{
	switch (result) {
	case KV_DONE:
		return OK;
	case KV_NOT_STORED:
		return NOT_STORED;
	case KV_EXISTS:
		return EXISTS;
	case KV_NOT_FOUND:
		return NOT_FOUND;
	case KV_TOO_LARGE:
		return TOO_LARGE;
	case KV_NO_MEMORY:
		return NO_MEMORY;
	case KV_NON_NUMERIC:
		return NON_NUMERIC;
	}
	return UNKNOWN;
}

/* For what was asked about a request whose parts are still there. */
static void reply_result(struct kv_session *session, const struct request *request, enum kv_result result)
{
	if (result == KV_DONE)
		reply_done(session, request->opcode, request->opaque, 0);
	else
		reply_error(session, request->opcode, request->opaque, status_of(result));
}

/* ---- get, touch ---- */

static bool returns_key(uint8_t opcode)
{
	return opcode == GETK || opcode == GETKQ || opcode == GATK || opcode == GATKQ;
}

static void reply_miss(struct kv_session *session, const struct request *request)
{
	if (request->rule->quiet)
		return;
	if (!returns_key(request->opcode)) {
		reply_error(session, request->opcode, request->opaque, NOT_FOUND);
		return;
	}
	const struct reply reply = {.opcode = request->opcode,
				    .status = NOT_FOUND,
				    .key_bytes = request->key_bytes,
				    .body_bytes = request->key_bytes,
				    .opaque = request->opaque};
	reply_with(session, &reply, request->key);
}

/* Header, flags, key; returns where the value goes. */
static uint8_t *put_hit(uint8_t *at, const struct request *request, const struct kv_item *item, uint32_t value_bytes)
{
	const uint32_t key_bytes = returns_key(request->opcode) ? request->key_bytes : 0;
	const struct reply reply = {.opcode = request->opcode,
				    .extras_bytes = FLAGS,
				    .key_bytes = key_bytes,
				    .body_bytes = FLAGS + key_bytes + value_bytes,
				    .opaque = request->opaque,
				    .cas = item->cas};

	put_header(at, &reply);
	put_big32(at + KV_BINARY_HEADER, item->flags);
	memcpy(at + KV_BINARY_HEADER + FLAGS, item->data, key_bytes);
	return at + KV_BINARY_HEADER + FLAGS + key_bytes;
}

static void get(struct kv_session *session, const struct request *request)
{
	struct kv_worker *worker = session->worker;
	struct kv_output *output = &session->output;
	const struct kv_key key = kv_store_key(worker->store, request->key, request->key_bytes);
	const bool touch = request->extras_bytes != 0;
	struct kv_item *item = touch ? kv_get_and_touch(worker, &key, kv_expiry(worker, big32(request->extras)))
				     : kv_get(worker, &key);

	if (item == NULL) {
		reply_miss(session, request);
		return;
	}
	const uint32_t value_bytes = request->opcode == TOUCH ? 0 : item->value_bytes;
	const bool copied = value_bytes <= COPIED_MAX;
	uint8_t *start = kv_output_reserve(output, KV_BINARY_HEADER + FLAGS + (size_t)request->key_bytes +
							   (copied ? value_bytes : 0));
	uint8_t *at = put_hit(start, request, item, value_bytes);
	if (copied) {
		kv_copy(at, kv_item_value(item), value_bytes);
		kv_output_commit(output, (size_t)(at - start) + value_bytes);
		kv_get_end(worker, item);
		return;
	}
	kv_output_commit(output, (size_t)(at - start));
	kv_item_hold(item); /* nobody changes it now */
	kv_get_end(worker, item);
	kv_output_item(output, item, kv_item_value(item), value_bytes);
}

/* ---- storing ---- */

void kv_binary_filled(struct kv_session *session, struct kv_item *item)
{
	const struct kv_pending *pending = &session->pending;
	uint64_t cas = pending->cas;

	memcpy(kv_item_value(item) + item->value_bytes, "\r\n", KV_TAIL);
	enum kv_result result =
		kv_store_end(session->worker, item, (enum kv_mode)pending->mode, pending->compare, &cas);
	if (result == KV_NOT_STORED && pending->mode == KV_ADD)
		result = KV_EXISTS;
	else if (result == KV_NOT_STORED && pending->mode == KV_REPLACE)
		result = KV_NOT_FOUND;
	if (result == KV_DONE)
		reply_done(session, pending->opcode, pending->opaque, cas);
	else
		reply_error(session, pending->opcode, pending->opaque, status_of(result));
}

/* Returns how many bytes of the value were taken. */
static size_t store(struct kv_session *session, const struct request *request, const uint8_t *data, size_t length)
{
	static const uint8_t modes[] = {
		[SET] = KV_SET, [ADD] = KV_ADD, [REPLACE] = KV_REPLACE, [APPEND] = KV_APPEND, [PREPEND] = KV_PREPEND};
	struct kv_worker *worker = session->worker;
	struct kv_pending *pending = &session->pending;
	const struct kv_key key = kv_store_key(worker->store, request->key, request->key_bytes);
	const bool has_extras = request->extras_bytes != 0;
	const uint32_t flags = has_extras ? big32(request->extras) : 0;
	const uint32_t expires_s = has_extras ? kv_expiry(worker, big32(request->extras + 4)) : 0;

	pending->mode = modes[request->rule->base];
	const enum kv_result result = kv_store_begin(worker, &key, (enum kv_mode)pending->mode, flags, expires_s,
						     request->value_bytes, &pending->item);
	if (result != KV_DONE) {
		reply_error(session, request->opcode, request->opaque, status_of(result));
		session->swallow = request->value_bytes;
		session->state = session->swallow > 0 ? KV_SWALLOW : KV_HEAD;
		return 0;
	}
	pending->filled = 0;
	pending->cas = request->cas;
	pending->compare = has_extras && request->cas != 0;
	pending->opcode = request->opcode;
	pending->opaque = request->opaque;
	return kv_session_fill(session, data, length);
}

/* ---- others ---- */

static void reply_number(struct kv_session *session, const struct request *request, uint64_t number, uint64_t cas)
{
	uint8_t body[NUMBER];
	const struct reply reply = {
		.opcode = request->opcode, .body_bytes = NUMBER, .opaque = request->opaque, .cas = cas};

	put_big64(body, number);
	if (!request->rule->quiet)
		reply_with(session, &reply, body);
}

/* There is none: stores the initial value. */
static enum kv_result store_initial(struct kv_session *session, const struct kv_key *key, uint64_t initial,
				    uint32_t expires_s, uint64_t *cas)
{
	struct kv_item *item;
	uint8_t digits[KV_DECIMAL_MAX];
	const size_t length = kv_number_format(digits, initial);
	const enum kv_result result = kv_store_begin(session->worker, key, KV_ADD, 0, expires_s, length, &item);

	if (result != KV_DONE)
		return result;
	memcpy(kv_item_value(item), digits, length);
	memcpy(kv_item_value(item) + length, "\r\n", KV_TAIL);
	return kv_store_end(session->worker, item, KV_ADD, false, cas);
}

static void add(struct kv_session *session, const struct request *request)
{
	const struct kv_key key = kv_store_key(session->worker->store, request->key, request->key_bytes);
	const uint64_t initial = big64(request->extras + 8);
	const uint32_t expiry = big32(request->extras + 16);
	uint64_t cas = request->cas, number = initial;
	enum kv_result result = kv_arithmetic(session->worker, &key, request->rule->base == INCREMENT,
					      big64(request->extras), &cas, &number);

	if (result == KV_NOT_FOUND && expiry != UINT32_MAX) {
		cas = 0;
		result = store_initial(session, &key, initial, kv_expiry(session->worker, expiry), &cas);
	}
	if (result == KV_DONE)
		reply_number(session, request, number, cas);
	else
		reply_error(session, request->opcode, request->opaque, status_of(result));
}

struct stat_argument {
	struct kv_session *session;
	uint32_t opaque;
};

static void write_stat(void *argument, const char *name, const char *value)
{
	const struct stat_argument *to = argument;
	const size_t name_bytes = strlen(name), value_bytes = strlen(value);
	struct kv_output *output = &to->session->output;
	uint8_t header[KV_BINARY_HEADER];
	const struct reply reply = {.opcode = STAT,
				    .key_bytes = (uint32_t)name_bytes,
				    .body_bytes = (uint32_t)(name_bytes + value_bytes),
				    .opaque = to->opaque};

	put_header(header, &reply);
	kv_output_write(output, header, sizeof(header));
	kv_output_write(output, name, name_bytes);
	kv_output_write(output, value, value_bytes);
}

static void show_stats(struct kv_session *session, const struct request *request)
{
	struct stat_argument argument = {session, request->opaque};

	if (request->key_bytes == 5 && memcmp(request->key, "reset", 5) == 0) {
		kv_stats_reset(session->worker->shared);
	} else if (!kv_stats_show(session->worker, request->key, request->key_bytes, write_stat, &argument)) {
		reply_error(session, STAT, request->opaque, NOT_FOUND);
		return;
	}
	write_stat(&argument, "", "");
}

static void execute(struct kv_session *session, const struct request *request)
{
	struct kv_worker *worker = session->worker;
	const struct kv_key key = kv_store_key(worker->store, request->key, request->key_bytes);

	switch (request->rule->base) {
	case DELETE:
		reply_result(session, request, kv_delete(worker, &key, request->cas));
		break;
	case INCREMENT:
	case DECREMENT:
		add(session, request);
		break;
	case FLUSH:
		kv_flush(worker, request->extras_bytes != 0 ? (int64_t)big32(request->extras) : 0);
		reply_result(session, request, KV_DONE);
		break;
	case VERSION:
		reply_with(session,
			   &(struct reply){
				   .opcode = VERSION, .body_bytes = sizeof(KV_VERSION) - 1, .opaque = request->opaque},
			   KV_VERSION);
		break;
	case STAT:
		show_stats(session, request);
		break;
	case QUIT:
		reply_result(session, request, KV_DONE);
		session->state = KV_ENDED;
		break;
	default: /* NOOP */
		reply_result(session, request, KV_DONE);
		break;
	}
}

/* ---- requests ---- */

/* Says what is wrong with the header, ends the connection, and takes all. */
static size_t refuse(struct kv_session *session, const struct request *request, enum status status, size_t length)
{
	reply_error(session, request->opcode, request->opaque, status);
	session->state = KV_ENDED;
	return length;
}

static bool keeps_rule(const struct request *request)
{
	const struct rule *rule = request->rule;

	if (request->extras_bytes != rule->extras && request->extras_bytes != rule->extras_or)
		return false;
	if (rule->key != ANY_KEY && (request->key_bytes != 0) != (rule->key == WITH_KEY))
		return false;
	return rule->value || request->value_bytes == 0;
}

static size_t run(struct kv_session *session, const struct request *request, const uint8_t *value, size_t length)
{
	kv_count(&session->worker->counters.requests);
	switch (request->rule->base) {
	case GET:
	case TOUCH:
		get(session, request);
		break;
	case SET:
	case ADD:
	case REPLACE:
	case APPEND:
	case PREPEND:
		return store(session, request, value, length);
	default:
		execute(session, request);
		break;
	}
	/* A body longer than the request needs is passed over. */
	if (request->value_bytes > 0 && session->state == KV_HEAD) {
		session->swallow = request->value_bytes;
		session->state = KV_SWALLOW;
	}
	return 0;
}

size_t kv_binary_head(struct kv_session *session, const uint8_t *data, size_t length)
{
	static const struct rule unknown;
	struct request request;

	if (length < KV_BINARY_HEADER) {
		if (data[0] == KV_BINARY_REQUEST)
			return 0;
		session->state = KV_ENDED;
		return length;
	}
	const uint32_t body_bytes = big32(data + 8);
	request.opcode = data[1];
	request.key_bytes = big16(data + 2);
	request.extras_bytes = data[4];
	request.opaque = kv_load32(data + 12);
	request.cas = big64(data + 16);
	request.rule = request.opcode < OPCODES ? &rules[request.opcode] : &unknown;
	if (data[0] != KV_BINARY_REQUEST) {
		session->state = KV_ENDED;
		return length;
	}
	const uint32_t parts_bytes = (uint32_t)request.key_bytes + request.extras_bytes;
	if (parts_bytes > body_bytes)
		return refuse(session, &request, UNKNOWN, length);
	if (request.key_bytes > KV_KEY_MAX)
		return refuse(session, &request, INVALID, length);
	request.value_bytes = body_bytes - parts_bytes;
	if (!request.rule->known) {
		reply_error(session, request.opcode, request.opaque, UNKNOWN);
		session->swallow = body_bytes;
		session->state = body_bytes > 0 ? KV_SWALLOW : KV_HEAD;
		return KV_BINARY_HEADER;
	}
	if (!keeps_rule(&request))
		return refuse(session, &request, INVALID, length);
	if (length < KV_BINARY_HEADER + (size_t)parts_bytes)
		return 0;
	request.extras = data + KV_BINARY_HEADER;
	request.key = request.extras + request.extras_bytes;
	const size_t used = KV_BINARY_HEADER + (size_t)parts_bytes;
	return used + run(session, &request, data + used, length - used);
}
