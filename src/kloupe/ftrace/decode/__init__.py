"""From the bytes of events to values and text: fields, the print formats of events, symbols."""
