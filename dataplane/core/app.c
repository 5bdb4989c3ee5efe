// SPDX-License-Identifier: Apache-2.0
#include "core/app_defs.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/image.h"
#include "core/stack.h"

enum {
	STACK_BYTES = 1 << 20,
	STATUS_SIGNAL = 128,
	STOP_RETRY_NS = 1000000,
	NS_PER_S = 1000000000,
};

/* ---- loading ---- */

/* What is wrong with which file. */
static int refuse_file(const char *path, int error, char why[RB_WHY_MAX])
{
	char reason[RB_WHY_MAX];
	memcpy(reason, why, sizeof(reason));
	return rb_refuse(why, error, "%s: %s", path, reason);
}

static int load_file(struct rb_app *app, const char *path, bool first, struct rb_image *image, uint8_t **file,
		     size_t *bytes, uint64_t *base, char why[RB_WHY_MAX])
{
	int result = rb_image_read(path, file, bytes, why);
	if (result != 0)
		return refuse_file(path, result, why);
	result = rb_image_parse(*file, *bytes, image, why);
	if (result == 0)
		result = rb_image_load(image, *file, &app->memory, first, base, why);
	return result == 0 ? 0 : refuse_file(path, result, why);
}

/* A PIE that is not static: its interpreter is loaded, too, and begins first. */
static int load_interpreter(struct rb_app *app, const char *path, uint64_t *base, char why[RB_WHY_MAX])
{
	struct rb_image image = {0};
	uint8_t *file = NULL;
	size_t bytes;
	int result = load_file(app, path, false, &image, &file, &bytes, base, why);
	if (result == 0 && image.interpreter[0] != '\0')
		result = rb_refuse(why, -ELIBBAD, "%s: an interpreter that needs an interpreter", path);
	if (result == 0)
		app->start.entry = *base + image.entry;
	free(file);
	return result;
}

static const char **environment(const char *const *envp)
{
	static const char tunables[] = "GLIBC_TUNABLES=";
	size_t count = 0, given = 0;
	for (; envp[count] != NULL; count++)
		given += strncmp(envp[count], tunables, sizeof(tunables) - 1) == 0;
	const char **result = calloc(count + 2, sizeof(*result));
	if (result == NULL)
		return NULL;
	memcpy(result, envp, count * sizeof(*result));
	if (given == 0)
		result[count] = "GLIBC_TUNABLES=glibc.malloc.arena_max=1";
	return result;
}

static int make_stack(struct rb_app *app, struct rb_stack_content *content, char why[RB_WHY_MAX])
{
	uint64_t bytes = app->config.stack_bytes, stack;
	const char **envp = environment(app->config.envp);
	content->envp = envp;
	int result = envp == NULL ? -ENOMEM : 0;
	/* One page more, which cannot be written: the stack ends there. */
	if (result == 0)
		result = rb_memory_map(&app->memory, RB_MEMORY_ANYWHERE, bytes + RB_MEMORY_PAGE, PROT_READ | PROT_WRITE,
				       &stack);
	if (result == 0)
		result = rb_memory_protect(&app->memory, stack, RB_MEMORY_PAGE, PROT_NONE);
	if (result == 0 && getrandom(content->random, sizeof(content->random), 0) != sizeof(content->random))
		result = -errno;
	if (result == 0)
		result = rb_stack_fill(&app->memory, stack + RB_MEMORY_PAGE + bytes, bytes, content, &app->start.stack);
	free(envp);
	return result == 0 ? 0
			   : rb_refuse(why, result, "%s: cannot make a stack of %" PRIu64 " KiB in its memory: %s",
				       app->config.path, bytes >> 10, strerror(-result));
}

static int load(struct rb_app *app, char why[RB_WHY_MAX])
{
	struct rb_image image = {0};
	const char *path = app->config.path;
	int result = load_file(app, path, true, &image, &app->file, &app->file_bytes, &app->base, why);
	if (result != 0)
		return result;
	app->image_bytes = image.bytes;
	rb_memory_set_break(&app->memory, app->base + image.bytes);
	struct rb_stack_content content = {
		.path = path,
		.argv = app->config.argv,
		.entry = app->base + image.entry,
		.headers = app->base + image.headers,
		.header_count = image.header_count,
		.page = (uintptr_t)app->config.region->page,
	};
	app->start.entry = content.entry;
	if (image.interpreter[0] != '\0')
		result = load_interpreter(app, image.interpreter, &content.interpreter, why);
	return result == 0 ? make_stack(app, &content, why) : result;
}

static void fill_page(const struct rb_app_config *config)
{
	struct rb_page *page = config->region->page;
	*page = config->page;
	page->magic = RB_PAGE_MAGIC;
	page->version = RB_ABI_VERSION;
	page->gate = config->guard->gate;
	page->region_base = RB_REGION_BASE;
	page->region_end = RB_REGION_END;
	rb_region_seal(config->region);
}

static void init_locks(struct rb_app *app)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&app->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&app->lock, NULL);
}

int rb_app_create(const struct rb_app_config *config, struct rb_app **result, char why[RB_WHY_MAX])
{
	const char *missing;
	int error = config->guard->init(&missing);
	if (error != 0)
		return rb_refuse(why, error, "guard %s: %s", config->guard->name, missing);
	struct rb_app *app = calloc(1, sizeof(*app));
	if (app == NULL || rb_memory_init(&app->memory, config->region) != 0) {
		free(app);
		return rb_refuse(why, -ENOMEM, "out of memory");
	}
	app->config = *config;
	if (app->config.stack_bytes == 0)
		app->config.stack_bytes = STACK_BYTES;
	app->config.stack_bytes = (app->config.stack_bytes + RB_MEMORY_PAGE - 1) & ~(uint64_t)(RB_MEMORY_PAGE - 1);
	rb_list_init(&app->threads);
	rb_fds_init(&app->fds);
	init_locks(app);
	error = load(app, why);
	app->config.argv = app->config.envp = NULL;
	if (error != 0) {
		rb_app_destroy(app);
		return error;
	}
	fill_page(config);
	*result = app;
	return 0;
}

void rb_app_destroy(struct rb_app *app)
{
	if (app == NULL)
		return;
	RB_ASSERT_EQ(app->thread_count, 0U);
	rb_fds_close_all(&app->fds);
	rb_memory_destroy(&app->memory);
	pthread_cond_destroy(&app->changed);
	pthread_mutex_destroy(&app->lock);
	free(app->file);
	free(app);
}

/* ---- life ---- */

int rb_app_start(struct rb_app *app)
{
	const struct rb_app_spawn spawn = {.start = app->start, .leader = true};
	int64_t result = rb_app_thread_spawn(app, &spawn);
	return result < 0 ? (int)result : 0;
}

void rb_app_end(struct rb_app *app, int status)
{
	pthread_mutex_lock(&app->lock);
	bool first = !app->ending;
	if (first) {
		app->status = status;
		app->ending = true;
		pthread_cond_broadcast(&app->changed);
	}
	pthread_mutex_unlock(&app->lock);
	if (first && app->config.ended != NULL)
		app->config.ended(app->config.user);
}

void rb_app_kill(struct rb_app *app)
{
	rb_app_end(app, STATUS_SIGNAL + SIGKILL);
}

/* Lets every thread know; each looks whether the application is ending when it comes back. Under the lock. */
static void interrupt_all(struct rb_app *app)
{
	for (struct rb_list *node = app->threads.next; node != &app->threads; node = node->next) {
		const struct rb_app_thread *thread = RB_CONTAINER_OF(node, struct rb_app_thread, node);
		if (thread->attached)
			app->config.guard->interrupt(thread->guard);
	}
}

int rb_app_wait(struct rb_app *app)
{
	pthread_mutex_lock(&app->lock);
	while (!app->ending)
		pthread_cond_wait(&app->changed, &app->lock);
	while (app->thread_count > 0) {
		struct timespec deadline;
		/* Again and again: an interruption just before a thread waits, or while it crosses, is lost. */
		interrupt_all(app);
		clock_gettime(CLOCK_MONOTONIC, &deadline);
		deadline.tv_nsec += STOP_RETRY_NS;
		if (deadline.tv_nsec >= NS_PER_S) {
			deadline.tv_nsec -= NS_PER_S;
			deadline.tv_sec++;
		}
		pthread_cond_timedwait(&app->changed, &app->lock, &deadline);
	}
	int status = app->status;
	pthread_mutex_unlock(&app->lock);
	return status;
}

bool rb_app_ending(const struct rb_app *app)
{
	return app->ending;
}

/* ---- what the guard reports ---- */

static int64_t on_syscall(void *user, const struct rb_guard_registers *registers)
{
	struct rb_app_thread *thread = user;
	int64_t result = rb_personality_call(thread, registers);
	if (thread->app->ending)
		thread->app->config.guard->thread_exit(thread->guard);
	return result;
}

static void report_fault(const struct rb_app *app, const struct rb_guard_registers *registers, int signo,
			 uint64_t address)
{
	uint64_t offset = 0, relative = registers->rip - app->base;
	const char *symbol =
		relative < app->image_bytes ? rb_image_symbol(app->file, app->file_bytes, relative, &offset) : NULL;
	if (symbol != NULL)
		rb_log(RB_LOG_ERROR, "%s: SIG%s: address 0x%" PRIx64 ", instruction 0x%" PRIx64 " (%s+0x%" PRIx64 ")",
		       app->config.path, sigabbrev_np(signo), address, registers->rip, symbol, offset);
	else
		rb_log(RB_LOG_ERROR, "%s: SIG%s: address 0x%" PRIx64 ", instruction 0x%" PRIx64, app->config.path,
		       sigabbrev_np(signo), address, registers->rip);
}

__attribute__((noreturn)) static void on_fault(void *user, const struct rb_guard_registers *registers, int signo,
					       uint64_t address)
{
	struct rb_app_thread *thread = user;
	report_fault(thread->app, registers, signo, address);
	rb_app_end(thread->app, STATUS_SIGNAL + signo);
	thread->app->config.guard->thread_exit(thread->guard);
}

static void on_interrupted(void *user)
{
	struct rb_app_thread *thread = user;
	if (thread->app->ending)
		thread->app->config.guard->thread_exit(thread->guard);
}

const struct rb_guard_handlers rb_app_handlers = {
	.syscall = on_syscall, .fault = on_fault, .interrupted = on_interrupted};

/* ---- for the gate handler ---- */

struct rb_guard_thread *rb_app_guard_thread(const struct rb_app_thread *thread)
{
	return thread->guard;
}

struct rb_app *rb_app_of(const struct rb_app_thread *thread)
{
	return thread->app;
}

void *rb_app_thread_user(const struct rb_app_thread *thread)
{
	return thread->user;
}

void rb_app_thread_set_user(struct rb_app_thread *thread, void *user)
{
	thread->user = user;
}

bool rb_app_range_ok(const struct rb_app *app, uint64_t address, uint64_t bytes)
{
	return rb_memory_contains(&app->memory, address, bytes);
}

int rb_app_hold(struct rb_app *app, uint64_t address, uint64_t bytes)
{
	return rb_memory_hold(&app->memory, address, bytes);
}

void rb_app_release(struct rb_app *app, uint64_t address, uint64_t bytes)
{
	rb_memory_release(&app->memory, address, bytes);
}

int rb_app_copy_in(const struct rb_app *app, void *to, uint64_t address, uint64_t bytes)
{
	return rb_memory_copy_in(&app->memory, to, address, bytes);
}

int rb_app_copy_out(struct rb_app *app, uint64_t address, const void *from, uint64_t bytes)
{
	return rb_memory_copy_out(&app->memory, address, from, bytes);
}

bool rb_app_call_count(const struct rb_app *app, unsigned number, const char **name, uint64_t *count)
{
	if (number > RB_CALLS_MAX)
		return false;
	const char *known = rb_personality_find(number)->name;
	*name = known != NULL ? known : "other";
	*count = atomic_load_explicit(&app->personality.counts[number], memory_order_relaxed);
	return true;
}
