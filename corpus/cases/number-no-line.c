//# what: numbers in calls that could get a line differ, but they are no lines
//# changed: with_file with_function as_value alone counted behind_line before_line as_file as_offset of_another_file unknown_name unknown_format used_twice on_one_path
#include "kernel.h"

#ifdef PATCHED
#define NUMBER 1600
#else
#define NUMBER 1500
#endif

void ___might_sleep(const char *file, int line, int offset);

void with_file(void)
{
	_printk("%s: error %d\n", __FILE__, NUMBER);
	wait_for(1);
}

void with_function(void)
{
	_printk("%s: at most %d entries\n", __func__, NUMBER);
	wait_for(2);
}

void as_value(void)
{
	_printk("%s: %d\n", __func__, NUMBER);
	wait_for(3);
}

void alone(void)
{
	_printk("line %d\n", NUMBER);
	wait_for(4);
}

void counted(void)
{
	_printk("%s: retry:%d\n", __func__, NUMBER);
	wait_for(5);
}

void behind_line(void)
{
	_printk("%s:%d: %d\n", __FILE__, 77, NUMBER);
	wait_for(6);
}

void before_line(void)
{
	_printk("%d: %s:%d\n", NUMBER, __FILE__, 77);
	wait_for(7);
}

void as_file(void)
{
	__might_sleep((const char *)(u64)NUMBER, 77);
	wait_for(8);
}

void as_offset(void)
{
	___might_sleep(__FILE__, 77, NUMBER);
	wait_for(9);
}

void of_another_file(void)
{
	_printk("%s:%d\n", "other.c", NUMBER);
	wait_for(10);
}

void unknown_name(const char *name)
{
	_printk("%s:%d\n", name, NUMBER);
	wait_for(11);
}

void unknown_format(const char *format)
{
	_printk(format, __FILE__, NUMBER);
	wait_for(12);
}

void used_twice(u32 index)
{
	u32 number = NUMBER;

	asm volatile("" : "+r"(number));
	__might_sleep(__FILE__, number);
	write_register(index, number);
}

u32 on_one_path(u32 index, u32 (*call)(u32, u32))
{
	if (index)
		return call(index, NUMBER);
	_printk("%s:%d\n", __FILE__, 77);
	return 0;
}
