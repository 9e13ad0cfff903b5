// Search in pages that are opened as files. Browsers start no worker from a file, so the search's
// script runs in a hidden frame instead; elsewhere this does nothing.
if (location.protocol === "file:") {
  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const page = frame.contentDocument;
      page.open();
      page.write("<!doctype html><title>search</title><body></body>");
      page.close();
      this.frame = frame;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = new Promise((resolve) => {
        const script = page.createElement("script");
        script.src = new URL(url, location.href);
        script.onload = () => resolve(inside);
        page.body.append(script);
      });
    }

    postMessage(data) {
      this.ready.then((inside) =>
        inside.dispatchEvent(new inside.MessageEvent("message", { data })),
      );
    }

    terminate() {
      this.frame.remove();
    }
  }
  // The theme's script looks for the second name, and then takes paths from its own address.
  window.Worker = window.IFrameWorker = FrameWorker;
}
