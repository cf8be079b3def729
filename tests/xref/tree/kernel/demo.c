// SPDX-License-Identifier: Apache-2.0
#include <linux/demo.h>
#include "local.h"

int demo_limit = DEMO_MAX;
EXPORT_SYMBOL_GPL(demo_limit);

DEFINE_PER_CPU(int, demo_hits);
static DEFINE_PER_CPU_ALIGNED(struct demo_item, demo_cache);
static DEFINE_MUTEX(demo_mutex);
DEFINE_SPINLOCK(demo_lock);
static DEFINE_RAW_SPINLOCK(demo_raw_lock);
static DECLARE_RWSEM(demo_rwsem);
DEFINE_STATIC_KEY_FALSE(demo_key);
static LIST_HEAD(demo_list);
static DECLARE_WAIT_QUEUE_HEAD(demo_wait);
static unsigned long demo_table[DEMO_MAX] __initdata = { [0] = 1, };
static int demo_first, demo_second = 2;
static int (*demo_hook)(int value) __read_mostly;

static bool demo_verbose;
module_param(demo_verbose, bool, 0644);
module_param_named(loud, demo_verbose, bool, 0444);

static int __init demo_setup(char *text)
{
	demo_verbose = text != NULL;
	return 1;
}
__setup("demo=", demo_setup);
early_param("demo_early", demo_setup);

/**
 * demo_next - demo_open() in a comment is no call
 * @item: "demo_next(" in a string is none either
 */
struct demo_item *demo_next(struct demo_item *item)
{
	const char *text = "demo_open(item)";

	if (!item || text[0] == '"')	/* demo_open(1) */
		return NULL;
	item->flags |= 1;
	item->flags++;
	--item->nested.depth;
	return container_of(item->link.next, struct demo_item, link);
}
EXPORT_SYMBOL(demo_next);

#ifdef CONFIG_DEMO_DRIVER
static int demo_choose(int a)
{
	return a;
}
#else
static int demo_choose(int a)
{
	return -a;
}
#endif

#ifdef CONFIG_64BIT
int demo_branches(long a)
{
#else
int demo_branches(int a)
{
#endif
	return demo_choose(a);
}

static noinline __attribute__((cold)) int
demo_gnu_style (int a, int b)
{
	return demo_branches(a) + b;
}

static int (*demo_pick(int which))(int)
{
	demo_hook = which ? demo_choose : NULL;
	return demo_hook;
}

int demo_loop(int n)
{
	struct demo_item *item;
	int (*step)(int) = demo_pick(n);

	demo_for_each(item, n) {
		if (item->notify)
			item->notify(item, step(n));
	}
	return n ? demo_loop(n - 1) : demo_gnu_style(n, 1);
}

#define DEMO_FUNCTION(name)			\
int demo_made_##name(void)			\
{						\
	return demo_loop(3);			\
}
DEMO_FUNCTION(one)

static int __init demo_init(void)
{
	mutex_lock(&demo_mutex);
	return demo_loop(demo_limit);
}
core_initcall(demo_init);

BPF_CALL_2(demo_bpf_helper, struct demo_item *, item, u64, flags)
{
	return demo_is_busy(item);
}
