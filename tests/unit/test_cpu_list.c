/* base/cpu_list.c: processors by number and range. */
#include "unit.h"

#include "base/cleanup.h"
#include "base/cpu_list.h"

static void test_numbers_and_ranges_add_up(void **state)
{
	cpu_set_t set;

	(void)state;
	assert_int_equal(cpu_list_parse("0-1,3", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 3);
	assert_true(CPU_ISSET(0, &set) && CPU_ISSET(1, &set) && CPU_ISSET(3, &set));
	assert_int_equal(cpu_list_parse("5,5,4-6,1023", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 4);
}

static void test_anything_else_is_refused(void **state)
{
	static const char *const bad[] = { "", ",", "1,", ",1", "1-", "-1", "3-2", "1--2", "0x1", "1 ,2", "a", "1-2-3", "1;2" };
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cpu_list_parse(bad[i], &set), -EINVAL);
	assert_int_equal(cpu_list_parse("1024", &set), -ERANGE);
	assert_int_equal(cpu_list_parse("0-99999999999999999999", &set), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_and_ranges_add_up),
		cmocka_unit_test(test_anything_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
