#undef TRACE_SYSTEM
#define TRACE_SYSTEM demo

#if !defined(_TRACE_DEMO_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DEMO_H

DECLARE_EVENT_CLASS(demo_template,
	TP_PROTO(struct demo_item *item),
	TP_ARGS(item),
	TP_STRUCT__entry(__field(int, state)),
	TP_fast_assign(__entry->state = item->state;),
	TP_printk("state=%d", __entry->state)
);

DEFINE_EVENT(demo_template, demo_start,
	TP_PROTO(struct demo_item *item),
	TP_ARGS(item));

TRACE_EVENT(demo_done,
	TP_PROTO(int result),
	TP_ARGS(result),
	TP_STRUCT__entry(__field(int, result)),
	TP_fast_assign(__entry->result = result;),
	TP_printk("result=%d", __entry->result)
);
#endif
