// SPDX-License-Identifier: Apache-2.0
/* Asserts, clock, list and log. */
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/copy.h"
#include "base/list.h"
#include "base/log.h"

/* Runs `body` in a child whose standard error is read into `text`. Returns the wait status. */
static int run_in_child(void (*body)(void), char *text, size_t size)
{
	int ends[2];
	int status;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		body();
		_exit(0);
	}
	close(ends[1]);
	size_t length = 0;
	ssize_t got;
	while ((got = read(ends[0], text + length, size - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void fail_compare(void)
{
	int small = -3;
	unsigned char big = 200;
	RB_ASSERT_GE(small, big);
}

static void fail_plain(void)
{
	RB_ASSERT(1 + 1 == 3);
}

static void pass_all(void)
{
	RB_ASSERT(1);
	RB_ASSERT_EQ(2, 2);
	RB_ASSERT_LT(UINT64_C(1), UINT64_C(2));
	RB_DEBUG_ASSERT_LE(-1, 0);
}

static void test_assert(void **state)
{
	char text[512];
	(void)state;
	int status = run_in_child(fail_compare, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "small >= big"));
	assert_non_null(strstr(text, "= -3"));
	assert_non_null(strstr(text, "right 200"));
	status = run_in_child(fail_plain, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "1 + 1 == 3"));
	status = run_in_child(pass_all, text, sizeof(text));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_string_equal(text, "");
}

static void log_lines(void)
{
	char big[3000];
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	rb_log_init("prog", RB_LOG_WARNING);
	rb_log(RB_LOG_INFO, "not shown");
	rb_log(RB_LOG_ERROR, "number %d", 7);
	for (int i = 0; i < 10; i++) {
		RB_LOG_ONCE(RB_LOG_ERROR, "only once");
		RB_LOG_RATELIMITED(RB_LOG_ERROR, "not so often");
	}
	rb_log(RB_LOG_ERROR, "%s", big);
}

static void test_log(void **state)
{
	char text[8192];
	static const char expected[] = "prog: error: number 7\nprog: error: only once\nprog: error: not so often\n"
				       "prog: error: bbbb";
	(void)state;
	int status = run_in_child(log_lines, text, sizeof(text));
	assert_true(WIFEXITED(status));
	assert_memory_equal(text, expected, sizeof(expected) - 1);
	assert_int_equal(text[strlen(text) - 1], '\n'); /* cut, but still a line */
}

static void test_clock(void **state)
{
	(void)state;
	struct rb_virtual_clock virtual;
	rb_virtual_clock_init(&virtual, 5);
	assert_int_equal(rb_clock_now(&virtual.clock), 5);
	rb_virtual_clock_advance_to(&virtual, 9);
	rb_virtual_clock_advance_to(&virtual, 7);
	assert_int_equal(rb_clock_now(&virtual.clock), 9);
	uint64_t before = rb_clock_now(rb_clock_monotonic());
	assert_true(rb_clock_now(rb_clock_monotonic()) >= before);
	assert_true(rb_clock_thread_cpu_ns() > 0);
}

struct element {
	int value;
	struct rb_list node;
};

static int pop_value(struct rb_list *head)
{
	struct rb_list *node = rb_list_pop(head);
	return node != NULL ? RB_CONTAINER_OF(node, struct element, node)->value : -1;
}

static void test_list(void **state)
{
	(void)state;
	struct rb_list head, other;
	struct element elements[4];
	rb_list_init(&head);
	rb_list_init(&other);
	assert_true(rb_list_empty(&head));
	assert_null(rb_list_pop(&head));
	for (int i = 0; i < 4; i++) {
		elements[i].value = i;
		rb_list_init(&elements[i].node);
		rb_list_append(&head, &elements[i].node);
	}
	rb_list_remove(&elements[2].node);
	rb_list_remove(&elements[2].node); /* harmless */
	rb_list_move(&head, &other);
	assert_true(rb_list_empty(&head));
	rb_list_append(&other, &elements[2].node);
	assert_int_equal(pop_value(&other), 0);
	assert_int_equal(pop_value(&other), 1);
	assert_int_equal(pop_value(&other), 3);
	assert_int_equal(pop_value(&other), 2);
	assert_int_equal(pop_value(&other), -1);
	rb_list_move(&other, &head);
	assert_true(rb_list_empty(&head));
}

static void test_handle(void **state)
{
	(void)state;
	rb_handle handle = rb_handle_make(RB_FLOW_GROUPS_MAX - 1, RB_CONNECTIONS_PER_GROUP_MAX - 1, UINT32_MAX);
	assert_true(handle == UINT64_MAX);
	handle = rb_handle_make(3, 5, 7);
	assert_int_equal(rb_handle_group(handle), 3);
	assert_int_equal(rb_handle_index(handle), 5);
	assert_int_equal(rb_handle_generation(handle), 7);
}

/* All that is copied and nothing beyond, from blocks whose ends the sanitizers watch. */
static void test_copy_short(void **state)
{
	(void)state;
	for (size_t length = 0; length <= RB_COPY_SHORT + 64; length++) {
		uint8_t *from = malloc(length + 1), *to = malloc(length + 2);
		assert_non_null(from);
		assert_non_null(to);
		for (size_t i = 0; i < length; i++)
			from[1 + i] = (uint8_t)(i * 7 + length);
		memset(to, 0xa5, length + 2);
		rb_copy_short(to + 1, from + 1, length);
		assert_memory_equal(to + 1, from + 1, length);
		assert_int_equal(to[0], 0xa5);
		assert_int_equal(to[length + 1], 0xa5);
		free(from);
		free(to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assert), cmocka_unit_test(test_log),    cmocka_unit_test(test_clock),
		cmocka_unit_test(test_list),   cmocka_unit_test(test_handle), cmocka_unit_test(test_copy_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
