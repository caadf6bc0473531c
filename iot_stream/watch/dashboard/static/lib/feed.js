// The stream of changes: it comes back by itself, and goes on where it was cut off.
const PATIENCE_MS = 3000;

export class Feed {
  // `changed(views)`: names of views, or null for all; `state(word)`: live, connecting.
  constructor(changed, state) {
    Object.assign(this, { changed, state, pipeline: "", source: null, last: "", timer: 0 });
  }

  open(pipeline) {
    this.close();
    this.pipeline = pipeline;
    this.last = "";
    this.connect();
  }

  connect() {
    if (!this.pipeline) return;
    this.source?.close();
    const query = new URLSearchParams({ pipeline: this.pipeline, after: this.last });
    const source = (this.source = new EventSource(`/api/events?${query}`));
    source.onopen = () => this.state("live");
    source.addEventListener("changed", (event) => {
      this.last = event.lastEventId;
      this.changed(JSON.parse(event.data).views);
    });
    source.onerror = () => {
      this.state("connecting");
      // After an answer that is no stream the browser does not try again.
      if (source.readyState === EventSource.CLOSED) this.again();
    };
  }

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), PATIENCE_MS);
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.state("connecting");
  }
}
