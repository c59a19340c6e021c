"""The page over a ledger: what reading commands show, for a browser. It reads, and never writes.

application    the routes, and what becomes of errors
gate           who may ask: methods, host names, the token, the headers of every answer
asking         what a request asks for, as its address says
site           what one server shows, and what it keeps: the last check, the course of each book
now, log, lots the pages themselves, each a function from what is asked to what its template shows
rendering      templates, and tables whose numbers are aligned at the point
drawing        the chart, as SVG
streaming      new events as they come
"""
