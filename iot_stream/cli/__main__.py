from iot_stream.cli import main

main()
