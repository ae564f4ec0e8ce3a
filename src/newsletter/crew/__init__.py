"""The crew: the connections that carry an issue's messages, in this process or in others beside it.

    desk | connection | transport

A connection asks its desk for readers, renders for them, has the desk write its intents down, hands over, and tells
the desk what it was told. The desk is the delivery itself, or speaks for it in another process; nothing here knows
the store, so that a process of connections stays small.
"""
