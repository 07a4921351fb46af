"""What tests ask of a page in Chromium, driven by Playwright."""

from time import monotonic

SECONDS = 120  # the machine may have other work


def wait_until(page, expression, arg=None):
    """Wait until a JavaScript expression, or function of ``arg``, is true on the page.

    Playwright's own ``wait_for_function`` asks again from inside the page, where the book's
    content-security policy forbids to evaluate strings.
    """
    end = monotonic() + SECONDS
    while not page.evaluate(expression, arg):
        assert monotonic() < end, f"not true within {SECONDS} s: {expression}"
        page.wait_for_timeout(20)
