/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _LINUX_DEMO_H
#define _LINUX_DEMO_H

#include <linux/list_demo.h>

#define DEMO_MAX 64
#define demo_for_each(pos, d) \
	for ((pos) = (d)->first; (pos); (pos) = demo_next(pos))

struct demo_item;
struct file_demo;

typedef unsigned int demo_flags_t;
typedef int (*demo_handler_t)(struct demo_item *item, void *data);
typedef struct {
	int counter;
} demo_count_t;

enum demo_state {
	DEMO_IDLE,
	DEMO_BUSY = 4,	/* not 3 */
	DEMO_STATES
};

/* struct demo_item is not defined in this comment { */
struct demo_item {
	struct list_demo	link;
	demo_flags_t		flags;
	unsigned int		locked:1, dirty:1;
	enum demo_state		state;
	const char		*names[DEMO_MAX], *label;
	int			(*notify)(struct demo_item *item, int event);
	union {
		long		number;
		void __user	*pointer;
	};
	struct {
		int		depth;
	} nested;
	struct demo_inner {
		u8		byte;
	} inner ____cacheline_aligned;
#ifdef CONFIG_DEMO_DRIVER
	struct demo_device	*device;
#endif
} __packed;

union demo_value {
	int as_int;
	float as_float;
};

struct demo_operations {
	int (*open)(struct file_demo *file);
	ssize_t (*read)(struct file_demo *file, char __user *buf, size_t count);
	void (*release)(struct file_demo *file);
};

extern int demo_limit;
extern int demo_open(struct file_demo *file);
struct demo_item *demo_next(struct demo_item *item);
DECLARE_PER_CPU(int, demo_hits);
DECLARE_STATIC_KEY_FALSE(demo_key);

static inline int demo_is_busy(const struct demo_item *item)
{
	return item->state == DEMO_BUSY;
}

#endif /* _LINUX_DEMO_H */
