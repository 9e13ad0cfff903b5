// Tables that are wider than the window scroll in a frame that the theme makes: by keyboard, too.
addEventListener("load", () => {
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap")) frame.tabIndex = 0;
});
