// Browsers start no workers for pages that are opened as files, and the search of the site runs in one. Here, a hidden frame does a
// worker's work: it is given the script, and messages go to and fro as events. From a server, the browser's own workers are used.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => this.tell(this, MessageEvent, data)
      inside.importScripts = (...addresses) => addresses.forEach((address) => this.load(address))
      this.loaded = this.load(script)
    }

    set onmessage(listener) {
      this.removeEventListener("message", this.listener)
      this.listener = listener
      this.addEventListener("message", listener)
    }

    postMessage(data) {
      const inside = this.frame.contentWindow
      this.loaded.then(() => this.tell(inside, inside.MessageEvent, data))
    }

    terminate() {
      this.frame.remove()
    }

    // A copy, as a worker would get, and later, as it would.
    tell(receiver, Kind, data) {
      const copy = structuredClone(data)
      setTimeout(() => receiver.dispatchEvent(new Kind("message", { data: copy })))
    }

    load(address) {
      return new Promise((resolve, reject) => {
        const script = this.frame.contentDocument.createElement("script")
        script.onload = resolve
        script.onerror = () => reject(new Error(`cannot load ${address}`))
        script.src = address
        this.frame.contentDocument.head.appendChild(script)
      })
    }
  }
}
