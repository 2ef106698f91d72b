// The search runs in a worker, which browsers refuse to pages that are opened from a file. There a hidden frame takes its
// place. Material's `offline` plugin would fetch such a script from another host.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.documentElement.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => this.tell("message", data) // what the worker's script calls
      inside.importScripts = (...urls) =>
        urls.reduce((before, one) => before.then(() => this.load(one)), Promise.resolve())
      this.frame.contentDocument.body.append(this.frame.contentDocument.createElement("p"))
      this.ready = this.load(url)
    }

    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.frame.contentDocument.createElement("script")
        Object.assign(script, { src: new URL(url, document.baseURI).href, onload: resolve, onerror: reject })
        this.frame.contentDocument.body.append(script)
      })
    }

    tell(type, data) {
      const event = new MessageEvent(type, { data })
      this.dispatchEvent(event)
      this[`on${type}`]?.(event)
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
