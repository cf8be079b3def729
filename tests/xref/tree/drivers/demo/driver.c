#include <linux/demo.h>

static int value_show(struct seq_file *m, void *unused)
{
	return demo_is_busy(m->private);
}
DEFINE_SHOW_ATTRIBUTE(value);

static ssize_t level_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return IS_ENABLED(CONFIG_DEMO_DRIVER);
}
static DEVICE_ATTR_RO(level);

#define DEMO_WRAP(x) demo_open(x)

static int demo_probe(struct platform_device *pdev)
{
	struct file_demo *file = DEMO_WRAP(pdev);

	trace_demo_start(pdev);
	return file->ops->open(file);
}

static struct platform_driver demo_driver = {
	.probe = demo_probe,
	.driver = {
		.name = "demo",
	},
};
module_platform_driver(demo_driver);

MODULE_LICENSE("GPL");
