// Before GraphiQL loads: the style element that it makes behind a dialog carries the page's nonce.
window.__webpack_nonce__ = document.querySelector('meta[name="style-nonce"]').content;
